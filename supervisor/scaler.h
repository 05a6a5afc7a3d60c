// How many replicas a service should have for its load. Pure: no clock, no processes; the caller
// brings samples in the order of time and does what is decided. Milliseconds on whatever clock the
// caller has, so long as it never goes back. Owned by ServiceScaling; one thread.
//
// The load is the average of the samples of the last `up_after`; what a replica should bear of it is
// the target. Replicas that are to run count, whether they serve yet or not, so one burst does not
// scale twice. Between the two bounds of a tenth above and below the target nothing happens, and
// down leads below the target still: a constant load is never answered by up and down in turn.
//
//   state      sample                                     next       decision
//   blind      something that is looked at is not known   blind      (a sample is thrown away)
//   blind      all of it is known                         averaging
//   averaging  something is not known, nobody serves      blind
//   averaging  for `up_after` all has been known          watching   as below
//   watching   something is not known, nobody serves      blind
//   watching   load > 110 % of the target                 averaging  up to what it takes, at most
//                                                                    twice as many, at most the max
//   watching   load <= 90 % of the target with one less,  watching   down by one; `down_after`
//              for `down_after` without an exception                 begins anew
//   any        held (a person has scaled)                 same       none; time goes on
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "conf/model.h"

namespace portunus::supervisor {

// What its requests are, as the proxy tells.
struct RequestLoad {
  std::uint32_t in_flight = 0;  // at its replicas
  std::uint32_t waiting = 0;    // in its pool, for a connection
  std::uint32_t capacity = 0;   // connections that a replica may have
};

struct ScaleSample {
  std::uint64_t now_ms = 0;
  std::uint32_t replicas = 0;  // that are to run
  bool is_served = false;      // by one of them at least
  std::optional<double> cpus;  // that all use together; none = not known
  std::optional<RequestLoad> requests;
};

enum class ScaleSignal : std::uint8_t { cpu, in_flight, queue };
[[nodiscard]] const char* name_of(ScaleSignal signal);

struct ScaleDecision {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  ScaleSignal signal = ScaleSignal::cpu;  // that asks for most
  double load = 0;  // of that signal, of all replicas: CPUs or requests; those that wait, for queue
  double target = 0;  // of a replica; for queue of the pool
  [[nodiscard]] bool is_up() const { return to > from; }
};

class Scaler {
 public:
  Scaler(const conf::Scale& settings, std::uint32_t replicas_min, std::uint32_t replicas_max)
      : settings_(settings), min_(replicas_min), max_(replicas_max) {}

  // How often samples are wanted.
  [[nodiscard]] std::uint64_t interval_ms() const;
  [[nodiscard]] std::optional<ScaleDecision> decide(const ScaleSample& sample);
  // No decision before that time.
  void hold_until(std::uint64_t time_ms) { held_until_ms_ = time_ms; }
  [[nodiscard]] std::uint64_t held_until_ms() const { return held_until_ms_; }
  // What has been seen does not count any more.
  void forget();
  // The last sample asked for more than the maximum, which there is.
  [[nodiscard]] bool is_short() const { return is_short_; }

 private:
  struct Entry {
    std::uint64_t at_ms;
    double cpus;
    double requests;  // in flight and waiting
    double waiting;
  };
  struct Wish {
    double replicas = 0;  // that it takes
    double least = 0;     // that are enough without coming near the target
    ScaleSignal signal = ScaleSignal::cpu;
    double load = 0;
    double target = 0;
  };

  [[nodiscard]] bool is_known(const ScaleSample& sample) const;
  void add(const ScaleSample& sample);
  [[nodiscard]] Wish wish(const ScaleSample& sample) const;
  [[nodiscard]] std::uint32_t more(const Wish& wish, std::uint32_t replicas);

  conf::Scale settings_;
  std::uint32_t min_;
  std::uint32_t max_;
  std::deque<Entry> window_;
  std::optional<std::uint64_t> since_ms_;      // all has been known
  std::optional<std::uint64_t> low_since_ms_;  // one less has been enough
  std::uint32_t replicas_ = 0;                 // of the last sample
  std::uint64_t held_until_ms_ = 0;
  bool is_short_ = false;
};

}  // namespace portunus::supervisor
