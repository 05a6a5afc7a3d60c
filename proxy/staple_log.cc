#include "proxy/staple_log.h"

namespace portunus::proxy {

// What is not told for its time is told when it fails again.
bool StapleLog::Fault::is_news(std::string_view why, std::uint64_t now_ms) {
  if (why_ == why || (told_ms_ && now_ms - *told_ms_ < kPauseMs)) return false;
  why_ = why;
  told_ms_ = now_ms;
  return true;
}

bool StapleLog::is_silence_news(const std::string& responder, std::uint64_t now_ms) {
  const auto [known, is_new] = responders_.try_emplace(responder);
  Responder& it = known->second;
  if (!is_new && (it.is_silent || now_ms - it.told_ms < kPauseMs)) return false;
  it = {true, now_ms};
  return true;
}

bool StapleLog::is_answer_news(const std::string& responder) {
  const auto known = responders_.find(responder);
  if (known == responders_.end() || !known->second.is_silent) return false;
  known->second.is_silent = false;
  return true;
}

void StapleLog::retain(const std::unordered_set<std::string>& named) {
  std::erase_if(responders_, [&](const auto& each) { return !named.contains(each.first); });
}

}  // namespace portunus::proxy
