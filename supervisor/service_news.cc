#include "supervisor/service_news.h"

#include "supervisor/service_view.h"

namespace portunus::supervisor {

ServiceNews::ServiceNews(uv_loop_t& loop, const Services& services, NewsReceiver& receiver)
    : services_(services),
      receiver_(receiver),
      due_(loop, this, [](void* self) { static_cast<ServiceNews*>(self)->tell(); }) {}

void ServiceNews::on_changed() {
  if (!due_.is_armed()) due_.arm(kPauseMs);
}

void ServiceNews::tell_all() {
  told_.clear();
  tell();
}

void ServiceNews::tell() {
  due_.disarm();
  std::vector<ServiceView> views;
  for (const Service* service : services_.all())
    views.push_back(view_of(*service, false));
  std::vector<std::string> parts = encode_in_parts(views);
  if (parts == told_) return;
  told_ = std::move(parts);
  for (std::size_t i = 0; i < told_.size(); ++i) {
    Message message(Kind::services_view, told_[i]);
    message.count = static_cast<std::uint32_t>(i);
    message.is_good = i + 1 == told_.size();
    receiver_.on_news(message);
  }
}

}  // namespace portunus::supervisor
