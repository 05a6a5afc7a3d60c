// Tells the proxy how the services are, so that its admin interface and its metrics can say it: all of
// them, a moment after something has changed, and when a proxy starts. Nothing is sent that has been
// sent before. Owned by the supervisor; its thread.
#pragma once

#include <string>
#include <vector>

#include "supervisor/message.h"
#include "supervisor/services.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

class NewsReceiver {
 public:
  virtual void on_news(const Message& message) = 0;

 protected:
  ~NewsReceiver() = default;
};

class ServiceNews {
 public:
  // A burst of changes is one message.
  static constexpr std::uint64_t kPauseMs = 50;

  ServiceNews(uv_loop_t& loop, const Services& services, NewsReceiver& receiver);
  ServiceNews(const ServiceNews&) = delete;
  ServiceNews& operator=(const ServiceNews&) = delete;
  ~ServiceNews() = default;

  void on_changed();
  // To one that has heard nothing yet.
  void tell_all();

 private:
  void tell();

  const Services& services_;
  NewsReceiver& receiver_;
  Timer due_;
  std::vector<std::string> told_;
};

}  // namespace portunus::supervisor
