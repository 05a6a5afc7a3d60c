// Judges members by their traffic: ejections (ejection.h) and circuit breakers (breaker.h). Data-plane
// threads count and bring news (conduct.h); everything is decided here, and published by
// Member::publish(). Lives on the control thread's loop; every method is for that thread. stop() comes
// before Loop::stop().
//
//   quiet --news of a failure or a slow answer--> watched, all of the pool --a window without--> quiet
//
// While a pool is watched its members are looked at every kEveryMs, and at once when a member has
// failed often enough in a row or a trial has ended. A quiet pool costs nothing.
//
// At most one of the two holds a member at a time, and each lets go of it when the probes have taken it
// out or back: whoever comes from there is another process, or another network. An ejection also ends
// when nobody else is left; a breaker does not.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "conf/model_pools.h"
#include "health/breaker.h"
#include "health/ejection.h"
#include "health/member.h"
#include "health/prober.h"
#include "net/loop.h"

namespace portunus::health {

struct JudgedPool {
  conf::Passive passive;
  conf::CircuitBreaker breaker;
  bool is_probed = true;
  std::vector<std::shared_ptr<Member>> members;
};

// What is known of one member. Wall-clock times in microseconds since 1970.
struct TrafficStatus {
  Suspension::Phase ejection = Suspension::Phase::in;
  Suspension::Phase breaker = Suspension::Phase::in;
  std::uint64_t ejections = 0;
  std::array<std::uint64_t, kBreakerTripCount> trips{};  // by BreakerTrip
  bool has_breaker = false;
  std::uint64_t since_us = 0;  // of what `reason` says
  std::uint64_t back_ms = 0;   // monotonic: when it last got requests again; 0 = it never was out
  std::uint64_t until_us = 0;  // while it is out
  std::string reason;          // why it is out or tried; empty: it is neither
};

// Why a member has been kept from its traffic, for a process after this one.
struct Held {
  bool is_breaker = false;     // not an ejection
  std::uint32_t times = 0;     // in a row, of an ejection
  std::uint64_t since_us = 0;  // wall clock
  std::uint64_t until_us = 0;  // the same; 0 = its time was over, and requests tried it
  std::string reason;
  friend bool operator==(const Held&, const Held&) = default;
};

class JudgeEvents {
 public:
  // `from` is `to` when a member on trial has got all of its traffic back.
  virtual void on_judged(const Member& member, const StateChange& change) = 0;
  // A request that tried a member has ended without an outcome: another one may.
  virtual void on_trial_free(const Member& member) = 0;

 protected:
  ~JudgeEvents() = default;
};

class TrafficJudge {
 public:
  static constexpr std::uint64_t kEveryMs = 250;

  TrafficJudge(net::Loop& loop, JudgeEvents& events);
  ~TrafficJudge();
  TrafficJudge(const TrafficJudge&) = delete;
  TrafficJudge& operator=(const TrafficJudge&) = delete;

  // The pools from now on. Members that were there keep what is known of them; those that have left,
  // and those that nothing judges any more, are let go of.
  void set_pools(const std::vector<JudgedPool>& pools);
  // Conduct::note() said so. `member` is compared and never followed: it may be gone.
  void on_news(const Member* member);
  // The probes have changed their verdict.
  void on_verdict(const Member& member);
  // Keeps a member of set_pools() out for the rest of its time, no longer than the pool's rule allows.
  // Nothing happens when the rule has gone, or somebody holds it already. `now_us`: wall clock.
  void resume(const Member& member, const Held& held, std::uint64_t now_us);
  void stop();

  // nullopt: nothing is held against it.
  [[nodiscard]] std::optional<Held> held(const Member& member) const;
  // Null when it is not judged. Valid until the next call that is not const.
  [[nodiscard]] const TrafficStatus* status_of(const Member& member) const;

 private:
  struct Record;
  struct Pool;

  void adopt(Pool& pool, const JudgedPool& wanted);
  void begin_record(Record& record);
  void watch(Pool& pool);
  void look(Pool& pool, std::uint64_t now_ms);
  void take_counts(Record& record, std::uint64_t now_ms);
  void judge(Record& record, std::uint64_t now_ms);
  void compare(Record& record, const TrafficCounts& all, std::uint64_t now_ms);
  void judge_trial(Record& record, std::uint64_t now_ms);
  void judge_time(Record& record, std::uint64_t now_ms);
  void judge_conduct(Record& record, std::uint64_t now_ms);
  [[nodiscard]] static bool has_other(const Record& record);
  [[nodiscard]] static bool may_eject(const Record& record);
  void relieve(Pool& pool);
  void eject(Record& record, const std::string& why, std::uint64_t now_ms);
  void open(Record& record, BreakerTrip trip, const std::string& why, std::uint64_t now_ms);
  void begin_trial(Record& record, std::uint32_t trials, const char* cause);
  void let_back(Record& record, const char* cause);
  void let_go(Record& record, const char* why = nullptr);
  void forget(Record& record);
  void publish(Record& record, const char* cause);
  void rest(Pool& pool, std::uint64_t now_ms);
  void schedule();
  void be_there_by(std::uint64_t due_ms);
  void on_timer();

  net::Loop* loop_;
  JudgeEvents* events_;
  net::Deadline timer_;
  std::uint64_t due_ms_ = 0;  // while it is armed
  std::vector<std::unique_ptr<Pool>> pools_;
  std::unordered_map<const Member*, Record*> by_member_;
  bool is_stopped_ = false;
};

}  // namespace portunus::health
