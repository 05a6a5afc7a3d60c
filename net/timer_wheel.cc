#include "net/timer_wheel.h"

#include <algorithm>

namespace portunus::net {

void TimerWheel::link(Deadline& deadline) {
  // Rounded up, so that nothing fires early; far ones wait in the last slot and are moved on from
  // there.
  const std::uint64_t tick = std::max(deadline.due_ms_ / kSlotMs + 1, done_tick_ + 1);
  const std::uint64_t slot = std::min(tick, done_tick_ + kSlots - 1);
  deadline.slot_ms_ = slot * kSlotMs;
  slots_[slot % kSlots].push_back(deadline);
}

void TimerWheel::advance(std::uint64_t now_ms) {
  now_ms_ = now_ms;
  const std::uint64_t now_tick = now_ms / kSlotMs;
  // After a long pause (a stopped process) one round visits every slot.
  if (now_tick > done_tick_ + kSlots) done_tick_ = now_tick - kSlots;
  while (done_tick_ < now_tick) {
    ++done_tick_;
    base::IntrusiveList<Deadline> batch;
    batch.take_all(slots_[done_tick_ % kSlots]);
    while (Deadline* deadline = batch.pop_front()) {
      if (deadline->due_ms_ == Deadline::kNever) continue;
      if (deadline->due_ms_ > now_ms_) {
        link(*deadline);
        continue;
      }
      deadline->due_ms_ = Deadline::kNever;
      deadline->fire_(deadline->owner_);
    }
  }
}

}  // namespace portunus::net
