// The outcome of one check of one member, whatever its kind, and who gets it. Control thread.
#pragma once

#include <cstdint>
#include <string>

namespace portunus::health {

enum class Verdict : std::uint8_t {
  good,
  bad,
  // Our own fault (no descriptor, no local port) or a loop that stood still: says nothing about the
  // member.
  unjudged,
};

struct CheckResult {
  Verdict verdict = Verdict::bad;
  bool is_late = false;      // unjudged because the loop stood still
  std::uint16_t status = 0;  // of an HTTP answer; 0 = none came
  std::string detail;        // for people: "status 503", "connection refused"
};

class CheckHandler {
 public:
  virtual void on_check_done(const CheckResult& result) = 0;

 protected:
  ~CheckHandler() = default;
};

}  // namespace portunus::health
