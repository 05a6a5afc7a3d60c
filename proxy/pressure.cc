#include "proxy/pressure.h"

#include <algorithm>

namespace portunus::proxy {
namespace {

// In percent of what is configured.
struct Step {
  std::uint64_t in;
  std::uint64_t out;
};
using Steps = std::array<Step, kPressureMost>;
constexpr Steps kMemorySteps{{{85, 75}, {95, 85}}};
constexpr Steps kDelaySteps{{{100, 50}, {200, 100}}};
constexpr std::uint64_t kDelayShare = 4;  // of a new value in the average: one of so many

PressureLevel next_level(PressureLevel now, const Steps& steps, std::uint64_t percent) {
  PressureLevel level = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool is_in = percent >= (now > i ? steps[i].out : steps[i].in);
    if (is_in) level = static_cast<PressureLevel>(i + 1);
  }
  return level;
}

}  // namespace

void Pressure::configure(const conf::Shedding& rule) {
  rule_ = rule;
  if (rule_.memory == 0) level_ref(Shortage::memory) = 0;
  if (rule_.loop_delay.count() == 0) {
    level_ref(Shortage::loop_delay) = 0;
    delay_us_ = 0;
  }
}

void Pressure::note_memory(std::uint64_t bytes) {
  if (rule_.memory == 0) return;
  PressureLevel& level = level_ref(Shortage::memory);
  level = next_level(level, kMemorySteps, bytes * 100 / rule_.memory);
}

void Pressure::note_delay(std::uint64_t late_ms) {
  if (rule_.loop_delay.count() == 0) return;
  delay_us_ = (delay_us_ * (kDelayShare - 1) + late_ms * 1000) / kDelayShare;
  const auto limit_us = static_cast<std::uint64_t>(rule_.loop_delay.count()) * 1000;
  PressureLevel& level = level_ref(Shortage::loop_delay);
  level = next_level(level, kDelaySteps, delay_us_ * 100 / limit_us);
}

PressureLevel Pressure::level() const {
  return *std::ranges::max_element(levels_);
}

Shortage Pressure::cause() const {
  return static_cast<Shortage>(std::ranges::max_element(levels_) - levels_.begin());
}

}  // namespace portunus::proxy
