// What the log is told of responders and certificates: that something has begun to fail and that it is
// over, and not each time that this changes. Control thread. Times are milliseconds of any clock that
// does not go back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace portunus::proxy {

class StapleLog {
 public:
  // Of one responder, or one certificate, a failure is told so often at most.
  static constexpr std::uint64_t kPauseMs = 600'000;

  // Of a certificate.
  class Fault {
   public:
    // Whether this is to be told now.
    [[nodiscard]] bool is_news(std::string_view why, std::uint64_t now_ms);
    // There was a good answer.
    void end() { why_.reset(); }

   private:
    std::optional<std::string> why_;  // that has been told
    std::optional<std::uint64_t> told_ms_;
  };

  // Whether it is to be told now that it does not answer, or that it does again.
  [[nodiscard]] bool is_silence_news(const std::string& responder, std::uint64_t now_ms);
  [[nodiscard]] bool is_answer_news(const std::string& responder);
  [[nodiscard]] bool is_empty() const { return responders_.empty(); }
  // Forgets all responders but these.
  void retain(const std::unordered_set<std::string>& named);

 private:
  struct Responder {
    bool is_silent = false;  // as the log has it
    std::uint64_t told_ms = 0;
  };
  std::unordered_map<std::string, Responder> responders_;  // that have been told of
};

}  // namespace portunus::proxy
