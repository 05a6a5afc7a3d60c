// Whether a member is kept from its traffic, for how long, and how it gets back: what an ejection and a
// circuit breaker have in common. They differ in what makes them put it out, how long, and how many
// requests try it afterwards (ejection.h, breaker.h). Pure: the clock is the caller's. Control thread.
//
//   phase  put_out()  its time is over  a trial fails  all trials are good  clear()
//   in     -> out     -                 -              -                    -
//   out    stays      -> trial          -              -                    -> in
//   trial  -> out     -                 -> out         -> in                -> in
//   (a failed trial is put_out() again, by who knows how long)
#pragma once

#include <cstdint>

namespace portunus::health {

class Suspension {
 public:
  // A client that sends its request slowly must not keep a member out.
  static constexpr std::uint64_t kTrialMs = 10'000;

  enum class Phase : std::uint8_t { in, out, trial };

  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] bool is_out() const { return phase_ == Phase::out; }
  [[nodiscard]] bool is_on_trial() const { return phase_ == Phase::trial; }
  // When it ends; of `trial`, when requests that have not ended by then no longer hold up others.
  [[nodiscard]] std::uint64_t until_ms() const { return until_ms_; }
  // Requests that have still to go well, of `trial`.
  [[nodiscard]] std::uint32_t trials_left() const { return trials_left_; }
  // How often it has been put out.
  [[nodiscard]] std::uint64_t count() const { return count_; }

  void put_out(std::uint64_t now_ms, std::uint64_t for_ms) {
    if (phase_ == Phase::out) return;
    phase_ = Phase::out;
    until_ms_ = now_ms + for_ms;
    ++count_;
  }
  // True when its time is over now; `trials` requests may try it.
  [[nodiscard]] bool on_time(std::uint64_t now_ms, std::uint32_t trials) {
    if (phase_ != Phase::out || now_ms < until_ms_) return false;
    phase_ = Phase::trial;
    trials_left_ = trials;
    until_ms_ = now_ms + kTrialMs;
    return true;
  }
  // True when trials have been under way for so long that as many others may try.
  [[nodiscard]] bool is_stuck(std::uint64_t now_ms) {
    if (phase_ != Phase::trial || now_ms < until_ms_) return false;
    until_ms_ = now_ms + kTrialMs;
    return true;
  }
  // So many trials have gone well; true when that was all of them.
  [[nodiscard]] bool on_good(std::uint32_t count) {
    if (phase_ != Phase::trial) return false;
    trials_left_ -= count < trials_left_ ? count : trials_left_;
    if (trials_left_ > 0) return false;
    phase_ = Phase::in;
    return true;
  }
  void clear() { phase_ = Phase::in; }

 private:
  std::uint64_t until_ms_ = 0;
  std::uint64_t count_ = 0;
  std::uint32_t trials_left_ = 0;
  Phase phase_ = Phase::in;
};

}  // namespace portunus::health
