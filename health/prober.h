// Probes the members of all pools and keeps Member::verdict: schedule, bounded concurrency, rise and
// fall (member_state.h has the tables). Lives on the control thread's loop; every method is for
// that thread. stop() comes before Loop::stop(), and the object outlives Loop::run(). Events come
// in a later turn than the command that caused them; a handler may call any method.
//
// A probe without a verdict (our own lack of descriptors; a loop that stood still) is repeated and
// not counted, so that a fault of ours never takes all members out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/intrusive_list.h"
#include "conf/model.h"
#include "health/check.h"
#include "health/member.h"
#include "health/member_state.h"
#include "http/fetch.h"
#include "net/loop.h"

namespace portunus::health {

struct ProbeTarget {
  std::shared_ptr<Member> member;
  ProbeSettings settings;
  // What was known of it before this process, used once, when it is new: it goes on from there, and
  // is probed at once.
  struct Known {
    bool is_up = false;
    std::uint64_t since_us = 0;
    std::string reason;
    bool was_up = false;  // as in ProbeStatus
  };
  std::optional<Known> known = std::nullopt;
  bool is_paused = false;  // in maintenance: not probed, and as new when that ends
};

struct StateChange {
  MemberState from = MemberState::starting;
  MemberState to = MemberState::starting;
  // Of a closed list, for metrics: "probe"; "connect" when a failed connect of traffic began it;
  // "off".
  const char* cause = "probe";
  std::string_view reason;  // for people: "3 probes failed: connection refused"; lives until return
};

class ProberEvents {
 public:
  // Of the verdict: a member that drains goes on being probed, and Member::state stays draining.
  virtual void on_transition(const Member& member, const StateChange& change) = 0;
  // A member that had refused a connection, and is up, has passed its probe.
  virtual void on_suspicion_ended(const Member& /*member*/) {}
  // Every probe, those without a verdict included.
  virtual void on_probe_done(const Member& member,
                             const CheckResult& result,
                             std::uint64_t duration_ns) = 0;
  // Every target has had its first result. Once for each set_targets(), the latest only.
  virtual void on_first_round_done() = 0;

 protected:
  ~ProberEvents() = default;
};

// What is known of one member. Wall-clock times in microseconds since 1970.
struct ProbeStatus {
  MemberState state = MemberState::starting;
  std::uint64_t since_us = 0;
  std::uint64_t since_ms = 0;  // the same by the monotonic clock
  bool was_up = false;         // of one that is down: it had been up, in this process or before it
  std::string reason;          // why it is in that state
  conf::ProbeKind kind = conf::ProbeKind::off;
  // The last probe.
  struct Last {
    std::uint64_t at_us = 0;  // when it ended; 0 = none yet
    Verdict verdict = Verdict::unjudged;
    std::uint16_t status = 0;  // of an HTTP answer
    std::uint64_t duration_ns = 0;
    std::string detail;
  } last;
  std::uint32_t successes = 0;  // in a row
  std::uint32_t failures = 0;   // in a row
  std::uint64_t good_total = 0;
  std::uint64_t bad_total = 0;
};

struct MemberSnapshot {
  std::shared_ptr<const Member> member;
  ProbeStatus status;
};

class Prober {
 public:
  // Quick checks at a time; those that take longer than kSlowMs make room for others, up to
  // kOpenMax.
  static constexpr std::size_t kQuickMax = 64;
  static constexpr std::size_t kOpenMax = 512;
  static constexpr std::uint64_t kSlowMs = 300;
  // Between two probes of one member, whatever traffic says.
  static constexpr std::uint64_t kSuspectPauseMs = 200;

  Prober(net::Loop& loop, ProberEvents& events);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // The members to probe from now on, each once. Those with unchanged settings keep state, rows and
  // schedule; with changed ones the state, and are probed soon; new ones are probed at once; those
  // that are gone are forgotten.
  void set_targets(std::span<const ProbeTarget> targets);
  // A request could not connect (Member::is_suspect was set; it is cleared by the probe's result).
  // `member` is compared and never followed: it may be gone.
  void on_suspect(const Member* member);
  // Cancels everything; no event follows.
  void stop();

  // In the order of set_targets(); empty after stop().
  [[nodiscard]] std::vector<MemberSnapshot> snapshot() const;
  // Null when it is not a target. Valid until set_targets().
  [[nodiscard]] const ProbeStatus* status_of(const Member& member) const;

 private:
  struct Target;
  using Targets = std::vector<std::unique_ptr<Target>>;

  std::unique_ptr<Target> make_target(const ProbeTarget& wanted);
  void change_settings(Target& target, const ProbeSettings& settings);
  void turn_off(Target& target);
  void pause(Target& target);
  void unpause(Target& target);
  void retire(std::unique_ptr<Target> target);
  void queue(Target& target, bool is_urgent);
  void start_queued();
  void start_check(Target& target);
  void end_check(Target& target);
  void cancel_check(Target& target);
  void on_timer(Target& target);
  void on_check_done(Target& target, const CheckResult& result);
  [[nodiscard]] StateChange judge(Target& target, bool is_good, const std::string& detail);
  void enter(Target& target, std::string reason);
  void schedule(Target& target, std::uint64_t after_ms);
  void note_first_result(Target& target);
  void close_round();
  void run_later();
  void run_put_off();
  [[nodiscard]] double chance();

  net::Loop* loop_;
  ProberEvents* events_;
  http::Fetcher fetcher_;
  Targets targets_;  // in the caller's order
  std::unordered_map<const Member*, Target*> by_member_;
  base::IntrusiveList<Target, Target> queued_;
  std::size_t quick_ = 0;   // running, not yet slow
  std::size_t open_ = 0;    // running
  std::size_t unseen_ = 0;  // targets without a first result
  bool is_round_open_ = false;
  bool is_put_off_ = false;  // run_put_off() has been posted
  bool is_stopped_ = false;
  // Up because they are not probed, and not yet told; with the state that they had.
  std::vector<std::pair<std::shared_ptr<Member>, MemberState>> turned_off_;
  Targets retired_;  // may be in their own callback
  std::uint64_t random_;
};

}  // namespace portunus::health
