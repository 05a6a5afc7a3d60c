// How short this thread is of what it works with: the levels of `overload`. Pure: who measures, and what
// follows, is in overload_watch.h. One thread.
//
//   shortage     measured                                       level 1 in / out   level 2 in / out
//   memory       what requests hold, all threads together,      85 % / 75 %        95 % / 85 %
//                against `overload.memory`
//   loop_delay   how late the thread comes to its timer, on     100 % / 50 %       200 % / 100 %
//                average, against `overload.loop_delay`
//   descriptors  a client waits for one, and there is no idle   yes / no           never: who waits
//                connection that could be closed for it                            outside is enough
//
// The thread's level is the highest of them. "In" and "out" lie apart, so that it does not flutter: what is
// refused is what would have kept the measure up.
//
// Against Envoy (overload manager: triggers per resource and action, each to be configured, and none by
// route), HAProxy (maxconn, and priority classes for queues alone) and nginx
// (nothing): three levels that mean the same whatever runs short.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "conf/model.h"

namespace portunus::proxy {

enum class Shortage : std::uint8_t { memory, loop_delay, descriptors };
inline constexpr std::size_t kShortageCount = 3;

[[nodiscard]] constexpr const char* name_of(Shortage shortage) {
  switch (shortage) {
    case Shortage::memory:
      return "memory";
    case Shortage::loop_delay:
      return "loop_delay";
    case Shortage::descriptors:
      return "descriptors";
  }
  return "";
}

// A request is refused whose priority is lower than the level: at 1 `low`, at 2 `normal`.
using PressureLevel = std::uint8_t;
inline constexpr PressureLevel kPressureMost = 2;

class Pressure {
 public:
  // What is no longer watched is not short.
  void configure(const conf::Shedding& rule);
  void note_memory(std::uint64_t bytes);
  // Now and then, as often as all the others: it is averaged over some four of them.
  void note_delay(std::uint64_t late_ms);
  void note_descriptors(bool is_short) { level_ref(Shortage::descriptors) = is_short ? 1 : 0; }

  [[nodiscard]] PressureLevel level() const;
  [[nodiscard]] PressureLevel level(Shortage shortage) const {
    return levels_[static_cast<std::size_t>(shortage)];
  }
  // What the level is of; the first one when there are several.
  [[nodiscard]] Shortage cause() const;

 private:
  PressureLevel& level_ref(Shortage shortage) {
    return levels_[static_cast<std::size_t>(shortage)];
  }

  conf::Shedding rule_;
  std::uint64_t delay_us_ = 0;  // average
  std::array<PressureLevel, kShortageCount> levels_{};
};

}  // namespace portunus::proxy
