// A coarse timer wheel (100 ms slots) with lazy re-arming: renewing a deadline that moves later
// writes one integer; the entry is moved only when its slot comes round. Deadlines fire up to one
// slot late, never early. A Deadline is a member of what it bounds and unlinks itself when
// destroyed. One thread (the loop's), which calls advance(). Times are the loop's milliseconds.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "base/intrusive_list.h"

namespace portunus::net {

class TimerWheel;

class Deadline : public base::ListHook<> {
 public:
  using Fire = void (*)(void* owner);
  // `fire` is called with `owner` on the loop's thread, once per arming.
  Deadline(void* owner, Fire fire) : owner_(owner), fire_(fire) {}

  [[nodiscard]] bool is_armed() const { return due_ms_ != kNever; }
  // Writes one integer; the wheel forgets the entry when its slot comes round.
  void disarm() { due_ms_ = kNever; }

 private:
  friend class TimerWheel;
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t due_ms_ = kNever;
  std::uint64_t slot_ms_ = 0;  // when the slot that it is linked in comes round
  void* owner_;
  Fire fire_;
};

class TimerWheel {
 public:
  static constexpr std::uint64_t kSlotMs = 100;

  explicit TimerWheel(std::uint64_t now_ms) : now_ms_(now_ms), done_tick_(now_ms / kSlotMs) {}

  void arm(Deadline& deadline, std::uint64_t after_ms) {
    deadline.due_ms_ = now_ms_ + after_ms;
    // Linked at or before its new time: advance() will move it on.
    if (deadline.is_linked() && deadline.slot_ms_ <= deadline.due_ms_ + kSlotMs) return;
    link(deadline);
  }
  // Until it fires, up to a slot; of an armed one.
  [[nodiscard]] std::uint64_t left_ms(const Deadline& deadline) const {
    return deadline.due_ms_ > now_ms_ ? deadline.due_ms_ - now_ms_ : 0;
  }
  void set_now(std::uint64_t now_ms) { now_ms_ = now_ms; }
  // Fires what is due. Handlers may arm, disarm and destroy any deadline, their own included.
  void advance(std::uint64_t now_ms);

 private:
  static constexpr std::size_t kSlots = 1024;
  void link(Deadline& deadline);

  std::uint64_t now_ms_;
  std::uint64_t done_tick_;  // slots up to this tick have been handled
  std::array<base::IntrusiveList<Deadline>, kSlots> slots_;
};

}  // namespace portunus::net
