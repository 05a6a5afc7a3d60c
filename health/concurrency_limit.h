// How many requests at a time a pool's members can use, found out from how long they take to begin an
// answer (`overload.adaptive`). Pure: who counts, and how often it is asked, is the caller's
// (proxy/concurrency_keeper.h); the clock is, too. Control thread.
//
//   alone    how long answers take with few requests at a time
//   latency  how long they take now: the mean of a window, halved into the one before
//   gradient = alone * (1 + tolerance) / latency, between 1/2 and 1
//
//   measuring  after each window of kWindowMs and kAnswersMin answers:
//     gradient < 1 and at least half of the limit was in use
//                 first probing, unless that was within kProbeEveryMs; then half of the way to
//                 limit * gradient + sqrt(limit)
//     half of it was in use, and `alone` has never been seen
//                 probing
//     gradient = 1 and requests had to wait for the limit: + sqrt(limit)
//     otherwise   it stays: nothing is known of what is not used
//   probing    a quarter of the limit for the moment, until those from before have had their answers
//              and kAnswersMin others have come: how long they took is `alone`
//
// By the length of the queue that it lets stand (gradient < 1 is made up for by sqrt(limit)) it settles
// at a little more than the members can work on at a time: they are never idle, and nobody waits long
// behind them.
//
// Against Envoy (adaptive concurrency filter): its limit falls to 3 every 30 s to measure how long
// answers take alone, and what comes meanwhile is refused; here that is looked for only when answers have
// become slow, and what comes waits in the pool's queue. Against Netflix' gradient2, whose long average
// follows a load that stays: `alone` is measured, not averaged. nginx, HAProxy and Caddy have none.
#pragma once

#include <cstdint>

#include "conf/model_pools.h"

namespace portunus::health {

class ConcurrencyLimit {
 public:
  static constexpr std::uint64_t kWindowMs = 500;
  static constexpr std::uint64_t kAnswersMin = 10;
  static constexpr std::uint64_t kProbeEveryMs = 30'000;

  // What all threads have counted by now; the first three only rise.
  struct Seen {
    std::uint64_t answers = 0;
    std::uint64_t latency_ns = 0;  // of all of them together
    std::uint64_t held_back = 0;   // times that a request found the limit reached
    std::uint32_t in_flight = 0;
  };

  explicit ConcurrencyLimit(const conf::AdaptiveLimit& rule);

  // Another rule: what is known is kept, within its bounds.
  void configure(const conf::AdaptiveLimit& rule);
  // A few times in each window. Time never goes back.
  void step(const Seen& seen, std::uint64_t now_ms);

  // What holds at this moment, while probing too.
  [[nodiscard]] std::uint32_t limit() const;
  [[nodiscard]] std::uint64_t alone_ns() const { return static_cast<std::uint64_t>(alone_ns_); }
  [[nodiscard]] std::uint64_t latency_ns() const { return static_cast<std::uint64_t>(latency_ns_); }
  // Requests are held back because answers take too long.
  [[nodiscard]] bool is_throttling() const { return is_throttling_; }

 private:
  enum class Phase : std::uint8_t { measuring, draining, flushing, probing };

  void begin_window(const Seen& seen, std::uint64_t now_ms);
  void begin_probe(std::uint64_t now_ms);
  void judge(const Seen& seen, double mean_ns, std::uint64_t now_ms);
  void probe(const Seen& seen, std::uint64_t now_ms);
  void set_limit(double limit);
  [[nodiscard]] double probe_limit() const;

  conf::AdaptiveLimit rule_;
  double limit_;
  double alone_ns_ = 0;       // 0 = not known
  double latency_ns_ = 0;     // the same
  bool knows_alone_ = false;  // it was not only what came first, which may have been a crowd
  bool is_throttling_ = false;
  Phase phase_ = Phase::measuring;
  Seen began_;  // what had been counted when the window, or the part of the probe, began
  std::uint64_t window_ms_ = 0;
  std::uint32_t peak_ = 0;  // most that were seen in flight in the window
  bool has_probed_ = false;
  std::uint64_t probe_ms_ = 0;  // when the last one began
};

}  // namespace portunus::health
