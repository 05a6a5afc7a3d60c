// The lines of all replicas on their way into the program's log, each with its service and number.
// A replica that writes faster than a person could read takes no room from the others' lines, nor
// from the supervisor's own: what is beyond its rate is in its file only, and the log says how much.
// Owned by the supervisor, on whose thread it is used.
#pragma once

#include <uv.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "supervisor/output_capture.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

inline constexpr std::uint64_t kLogLinesPerSecond = 100;  // of each replica
inline constexpr std::uint64_t kLogLinesAtOnce = 100;     // the log's queue holds some hundreds

class ServiceLines final : public LineHandler {
 public:
  explicit ServiceLines(uv_loop_t& loop);

  void on_line(const std::string& service, std::uint32_t replica, std::string_view line) override;

 private:
  struct Rate {
    std::uint64_t since_ns = 0;  // when the room below was counted
    std::uint64_t room = kLogLinesAtOnce;
    std::uint64_t left_out = 0;
  };
  static void refill(Rate& rate);
  static void tell(const std::pair<std::string, std::uint32_t>& who, Rate& rate);
  void on_timer();

  // Never more than there are names and numbers in the configurations of one run.
  std::map<std::pair<std::string, std::uint32_t>, Rate> rates_;
  Timer timer_;  // runs while there is something to tell
};

}  // namespace portunus::supervisor
