// How the services are, as the supervisor said last; it comes in parts (supervisor/service_news.h).
// Empty when there is no supervisor. Control thread.
#pragma once

#include <utility>
#include <vector>

#include "supervisor/message.h"
#include "supervisor/service_view.h"

namespace portunus::proxy {

class ServicesBoard {
 public:
  // Kind::services_view.
  void note(const supervisor::Message& message) {
    if (message.count == 0) coming_.clear();
    supervisor::decode_views(message.text, coming_);
    if (message.is_good) views_ = std::exchange(coming_, {});
  }
  [[nodiscard]] const std::vector<supervisor::ServiceView>& views() const { return views_; }

 private:
  std::vector<supervisor::ServiceView> views_;
  std::vector<supervisor::ServiceView> coming_;
};

}  // namespace portunus::proxy
