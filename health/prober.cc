#include "health/prober.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "health/probe_target.h"

namespace portunus::health {
namespace {

// A timer that is later than this fired after a stop of the loop.
constexpr std::uint64_t kStillMs = 1'000;
// So often in a row a probe may remain without a verdict because the loop stood still, then it
// counts: a loop that is always busy must not keep a dead member up. It is also how long the first
// round waits.
constexpr std::uint32_t kRepeatsMax = 3;

std::string count_of(std::uint32_t count, const char* what) {
  return std::to_string(count) + (count == 1 ? " probe " : " probes ") + what;
}

}  // namespace

Prober::Prober(net::Loop& loop, ProberEvents& events)
    : loop_(&loop), events_(&events), fetcher_(loop), random_(base::monotonic_ns()) {}

Prober::~Prober() = default;

// SplitMix64; only spreads probes in time.
double Prober::chance() {
  random_ += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = random_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  mixed ^= mixed >> 31;
  return static_cast<double>(mixed >> 11) * 0x1.0p-53;
}

// ---- targets ----

void Prober::set_targets(std::span<const ProbeTarget> targets) {
  if (is_stopped_) return;
  Targets old = std::exchange(targets_, {});
  targets_.reserve(targets.size());
  std::unordered_map<const Member*, std::size_t> places;
  places.reserve(old.size());
  for (std::size_t i = 0; i < old.size(); ++i)
    places.emplace(old[i]->member.get(), i);
  by_member_.clear();
  for (const ProbeTarget& wanted : targets) {
    if (by_member_.contains(wanted.member.get())) continue;
    const auto place = places.find(wanted.member.get());
    if (place == places.end()) {
      targets_.push_back(make_target(wanted));
    } else {
      targets_.push_back(std::move(old[place->second]));
      Target& target = *targets_.back();
      if (wanted.is_paused && !target.is_paused) pause(target);
      if (!(target.settings == wanted.settings)) change_settings(target, wanted.settings);
      if (!wanted.is_paused && target.is_paused) unpause(target);
    }
    by_member_.emplace(wanted.member.get(), targets_.back().get());
  }
  for (auto& target : old) {
    if (target) retire(std::move(target));
  }
  is_round_open_ = true;
  run_later();
}

std::unique_ptr<Prober::Target> Prober::make_target(const ProbeTarget& wanted) {
  auto target = std::make_unique<Target>(*this, wanted);
  target->member->is_suspect.store(false, std::memory_order_relaxed);
  enter(*target, "waits for its first probe");
  ++unseen_;
  if (wanted.is_paused) {
    pause(*target);
  } else if (wanted.settings.kind == conf::ProbeKind::off) {
    turn_off(*target);
  } else {
    if (wanted.known) {
      target->machine.resume(wanted.known->is_up ? MemberState::up : MemberState::down);
      target->status.was_up = wanted.known->was_up;
      enter(*target, wanted.known->reason);
      const std::uint64_t age_ms =
          (target->status.since_us - std::min(target->status.since_us, wanted.known->since_us)) /
          1'000;
      target->status.since_us = wanted.known->since_us;
      target->status.since_ms -= std::min(target->status.since_ms, age_ms);
      note_first_result(*target);
    }
    queue(*target, false);
  }
  return target;
}

void Prober::change_settings(Target& target, const ProbeSettings& settings) {
  cancel_check(target);
  target.settings = settings;
  target.status.kind = settings.kind;
  target.repeats = 0;
  target.machine.on_new_settings();
  if (target.is_paused) return;
  if (settings.kind == conf::ProbeKind::off) {
    turn_off(target);
  } else {
    queue(target, false);
  }
}

void Prober::turn_off(Target& target) {
  target.timer.disarm();
  target.member->is_suspect.store(false, std::memory_order_relaxed);
  const MemberState from = target.machine.state();
  if (target.machine.on_probes_off()) {
    enter(target, "probes are off");
    turned_off_.emplace_back(target.member, from);
  }
  note_first_result(target);
}

void Prober::pause(Target& target) {
  cancel_check(target);
  target.timer.disarm();
  target.is_paused = true;
  target.repeats = 0;
  target.machine = StateMachine();
  target.status.successes = target.status.failures = 0;
  target.member->is_suspect.store(false, std::memory_order_relaxed);
  enter(target, "not probed");
  note_first_result(target);
}

void Prober::unpause(Target& target) {
  target.is_paused = false;
  enter(target, "waits for a probe");
  if (target.settings.kind == conf::ProbeKind::off) {
    turn_off(target);
  } else {
    queue(target, false);
  }
}

void Prober::retire(std::unique_ptr<Target> target) {
  cancel_check(*target);
  target->timer.disarm();
  note_first_result(*target);
  retired_.push_back(std::move(target));
}

void Prober::note_first_result(Target& target) {
  if (target.has_result) return;
  target.has_result = true;
  --unseen_;
}

// Publishes the machine's state, as far as the member's duty lets it be seen.
void Prober::enter(Target& target, std::string reason) {
  const MemberState before = std::exchange(target.status.state, target.machine.state());
  if (before == MemberState::up) target.status.was_up = true;
  if (target.status.state == MemberState::starting) target.status.was_up = false;
  target.status.since_us = base::wall_us();
  target.status.since_ms = base::monotonic_ns() / 1'000'000;
  target.status.reason = std::move(reason);
  target.member->verdict = target.machine.state();
  target.member->publish();
}

// ---- what is put off to a turn of the loop ----

void Prober::run_later() {
  if (is_put_off_) return;
  is_put_off_ = loop_->post([this] { run_put_off(); });
}

void Prober::run_put_off() {
  is_put_off_ = false;
  retired_.clear();
  start_queued();
  const auto turned_off = std::exchange(turned_off_, {});
  for (const auto& [member, from] : turned_off) {
    if (is_stopped_) return;
    events_->on_transition(*member, {from, MemberState::up, "off", "probes are off"});
  }
  close_round();
}

void Prober::close_round() {
  if (!is_round_open_ || unseen_ > 0 || is_put_off_ || is_stopped_) return;
  is_round_open_ = false;
  events_->on_first_round_done();
}

// ---- schedule ----

void Prober::schedule(Target& target, std::uint64_t after_ms) {
  target.due_ms = loop_->now_ms() + after_ms;
  loop_->timers().arm(target.timer, after_ms);
}

void Prober::queue(Target& target, bool is_urgent) {
  target.timer.disarm();
  target.phase = Target::Phase::queued;
  if (is_urgent) {
    queued_.push_front(target);
  } else {
    queued_.push_back(target);
  }
}

void Prober::start_queued() {
  while (quick_ < kQuickMax && open_ < kOpenMax) {
    Target* target = queued_.pop_front();
    if (target == nullptr) return;
    start_check(*target);
  }
}

void Prober::on_timer(Target& target) {
  if (target.phase == Target::Phase::quick) {
    target.phase = Target::Phase::slow;
    --quick_;
  } else if (target.phase == Target::Phase::idle) {
    const bool stood_still = loop_->now_ms() > target.due_ms + kStillMs;
    if (stood_still && target.machine.state() == MemberState::up &&
        target.machine.failures() == 0) {
      // All are due now: spread them again instead of a burst.
      schedule(target, static_cast<std::uint64_t>(
                           chance() * static_cast<double>(target.settings.interval.count())));
      return;
    }
    queue(target, false);
  }
  start_queued();
}

void Prober::on_suspect(const Member* member) {
  const auto found = by_member_.find(member);
  if (found == by_member_.end() || is_stopped_) return;
  Target& target = *found->second;
  if (target.is_paused || target.settings.kind == conf::ProbeKind::off ||
      target.machine.state() != MemberState::up) {
    target.member->is_suspect.store(false, std::memory_order_relaxed);
    return;
  }
  target.machine.on_suspect();
  if (target.phase != Target::Phase::idle) return;
  const std::uint64_t since = loop_->now_ms() - target.ended_ms;
  if (since < kSuspectPauseMs) {
    schedule(target, kSuspectPauseMs - since);
    return;
  }
  queue(target, true);
  start_queued();
}

// ---- checks ----

void Prober::start_check(Target& target) {
  target.phase = Target::Phase::quick;
  ++quick_;
  ++open_;
  target.began_ns = base::monotonic_ns();
  loop_->timers().arm(target.timer, kSlowMs);
  if (target.settings.kind != conf::ProbeKind::tcp) {
    target.http.start(target.settings, target.address(), target.member->name, target);
  } else {
    target.tcp = TcpCheck::start(*loop_, target.address(), target.settings, target);
  }
}

void Prober::end_check(Target& target) {
  if (target.phase == Target::Phase::quick) --quick_;
  --open_;
  target.phase = Target::Phase::idle;
}

void Prober::cancel_check(Target& target) {
  if (target.phase == Target::Phase::queued) {
    target.unlink();
    target.phase = Target::Phase::idle;
  } else if (target.phase != Target::Phase::idle) {
    target.http.cancel();
    if (target.tcp != nullptr) std::exchange(target.tcp, nullptr)->cancel();
    end_check(target);
  }
}

void Prober::on_check_done(Target& target, const CheckResult& result) {
  end_check(target);
  const std::uint64_t duration_ns = base::monotonic_ns() - target.began_ns;
  target.ended_ms = loop_->now_ms();
  const bool was_suspect = target.member->is_suspect.exchange(false, std::memory_order_relaxed);
  target.status.last = {.at_us = base::wall_us(),
                        .verdict = result.verdict,
                        .status = result.status,
                        .duration_ns = duration_ns,
                        .detail = result.detail};
  StateChange change{target.machine.state(), target.machine.state(), "probe", {}};
  const bool counts =
      result.verdict != Verdict::unjudged || (result.is_late && target.repeats >= kRepeatsMax);
  if (counts) {
    target.repeats = 0;
    change = judge(target, result.verdict == Verdict::good, result.detail);
    note_first_result(target);
    schedule(target, target.machine.next_probe_ms(target.settings, chance()));
  } else {
    if (++target.repeats >= kRepeatsMax) note_first_result(target);
    schedule(target, StateMachine::repeat_ms(target.settings, chance()));
  }
  // From here on without the target: a handler may have it forgotten.
  const std::shared_ptr<Member> member = target.member;
  const std::string reason = target.status.reason;
  change.reason = reason;
  events_->on_probe_done(*member, result, duration_ns);
  if (change.from != change.to && !is_stopped_) events_->on_transition(*member, change);
  const bool is_cleared = was_suspect && result.verdict == Verdict::good;
  if (is_cleared && change.to == MemberState::up && !is_stopped_) {
    events_->on_suspicion_ended(*member);
  }
  close_round();
  start_queued();
}

StateChange Prober::judge(Target& target, bool is_good, const std::string& detail) {
  StateChange change;
  change.from = target.machine.state();
  // Asked before: a good probe ends the suspicion.
  if (target.machine.is_suspect()) change.cause = "connect";
  const bool has_changed = target.machine.on_probe(is_good, target.settings);
  change.to = target.machine.state();
  ++(is_good ? target.status.good_total : target.status.bad_total);
  target.status.successes = target.machine.successes();
  target.status.failures = target.machine.failures();
  if (!has_changed) return change;
  const bool is_first = change.from == MemberState::starting;
  if (is_good) {
    enter(target,
          is_first ? "first probe succeeded" : count_of(target.status.successes, "succeeded"));
  } else {
    enter(target,
          (is_first ? "first probe failed: " : count_of(target.status.failures, "failed: ")) +
              detail);
  }
  return change;
}

// ---- the end, and looking at it ----

void Prober::stop() {
  if (is_stopped_) return;
  is_stopped_ = true;
  by_member_.clear();
  for (auto& target : std::exchange(targets_, {}))
    retire(std::move(target));
  fetcher_.close_all();
}

std::vector<MemberSnapshot> Prober::snapshot() const {
  std::vector<MemberSnapshot> all;
  all.reserve(targets_.size());
  for (const auto& target : targets_)
    all.push_back({target->member, target->status});
  return all;
}

const ProbeStatus* Prober::status_of(const Member& member) const {
  const auto found = by_member_.find(&member);
  return found == by_member_.end() ? nullptr : &found->second->status;
}

}  // namespace portunus::health
