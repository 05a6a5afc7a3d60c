#include "health/member_state.h"

#include <algorithm>
#include <cmath>

namespace portunus::health {
namespace {

constexpr double kFastShare = 0.1;  // of the interval
constexpr double kFastMinMs = 500;
constexpr double kSuspectMaxMs = 500;
constexpr std::uint32_t kDoublingsMax = 20;

double interval_of(const conf::Health& settings) {
  return static_cast<double>(settings.interval.count());
}

double fast_of(const conf::Health& settings) {
  const double interval = interval_of(settings);
  return std::min(interval, std::max(kFastMinMs, interval * kFastShare));
}

std::uint64_t whole_ms(double ms) {
  return static_cast<std::uint64_t>(std::max(1.0, ms));
}

std::uint64_t wander(double ms, const conf::Health& settings, double chance) {
  return whole_ms(ms * (1 + settings.jitter_ratio * (2 * chance - 1)));
}

}  // namespace

bool StateMachine::enter(MemberState state) {
  if (state_ == state) return false;
  is_first_ = state_ == MemberState::starting;
  state_ = state;
  failures_down_ = 0;
  return true;
}

bool StateMachine::on_probe(bool is_good, const conf::Health& settings) {
  is_first_ = false;
  if (is_good) {
    ++successes_;
    failures_ = failures_down_ = 0;
    is_suspect_ = false;
    const bool may_join = state_ == MemberState::starting ||
                          (state_ == MemberState::down && successes_ >= settings.rise);
    return may_join && enter(MemberState::up);
  }
  ++failures_;
  successes_ = 0;
  const bool must_leave =
      state_ == MemberState::starting || (state_ == MemberState::up && failures_ >= settings.fall);
  if (must_leave) return enter(MemberState::down);
  if (state_ == MemberState::down) ++failures_down_;
  return false;
}

bool StateMachine::on_probes_off() {
  successes_ = failures_ = 0;
  is_suspect_ = false;
  return enter(MemberState::up);
}

void StateMachine::on_suspect() {
  if (state_ == MemberState::up) is_suspect_ = true;
}

void StateMachine::on_new_settings() {
  successes_ = failures_ = failures_down_ = 0;
  is_suspect_ = is_first_ = false;
}

std::uint64_t StateMachine::repeat_ms(const conf::Health& settings, double chance) {
  return wander(fast_of(settings), settings, chance);
}

std::uint64_t StateMachine::next_probe_ms(const conf::Health& settings, double chance) const {
  const double interval = interval_of(settings);
  const double fast = fast_of(settings);
  if (state_ == MemberState::up && failures_ == 0) {
    if (is_first_) return whole_ms(fast + (interval - fast) * chance);
    return wander(interval, settings, chance);
  }
  if (state_ == MemberState::up && is_suspect_) {
    return wander(std::min(fast, kSuspectMaxMs), settings, chance);
  }
  if (state_ == MemberState::down && successes_ == 0) {
    const double factor =
        std::ldexp(1.0, static_cast<int>(std::min(failures_down_, kDoublingsMax)));
    return wander(std::min(interval, fast * factor), settings, chance);
  }
  return wander(fast, settings, chance);
}

}  // namespace portunus::health
