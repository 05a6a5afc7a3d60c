#include "supervisor/replica.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/process.h"

namespace portunus::supervisor {
namespace {

using State = ReplicaState;
using base::LogLevel;

constexpr std::uint64_t kSweepMs = 5;
constexpr std::uint64_t kSweepMostMs = 200;
constexpr std::uint32_t kSweeps = 40;  // some 7 s; what is alive then, no signal can end

}  // namespace

Replica::Replica(Surroundings& surroundings, ReplicaOwner& owner, ReplicaRecord record)
    : surroundings_(surroundings),
      owner_(owner),
      record_(std::move(record)),
      process_(surroundings, record_),
      timer_(surroundings.loop, this, [](void* self) { static_cast<Replica*>(self)->on_timer(); }) {
  is_known_member_ = is_member();
  is_known_draining_ = record_.state == State::draining;
  if (record_.pid != 0) surroundings_.reaper.watch(record_.pid, *this);
  if (record_.due_ns == 0) return;
  const std::uint64_t now = base::monotonic_ns();
  timer_.arm(record_.due_ns > now ? (record_.due_ns - now) / base::kNsPerMs : 0);
}

Replica::~Replica() {
  if (record_.pid != 0) surroundings_.reaper.forget(record_.pid);
}

bool Replica::is_probed() const {
  return record_.port != 0 && record_.definition.health.kind != conf::ProbeKind::off;
}

bool Replica::is_member() const {
  return record_.pid != 0 && record_.port != 0 &&
         (record_.state == State::starting || record_.state == State::running ||
          record_.state == State::draining);
}

bool Replica::is_waiting_for_restart() const {
  return record_.sick_since_ns != 0 && record_.goal == Goal::run &&
         (record_.state == State::starting || record_.state == State::running);
}

std::string Replica::label() const {
  std::string text = fmt::format("service {} replica {}", record_.definition.name, record_.number);
  if (record_.port != 0) text += fmt::format(" (port {})", record_.port);
  return text;
}

// ---- commands

void Replica::run(Goal goal) {
  const bool was_to_stop = record_.goal == Goal::stop || record_.goal == Goal::leave;
  record_.goal = goal;
  if (record_.state == State::stopped) {
    record_.strikes = 0;
    wait(0);
  } else if (was_to_stop) {  // it is being stopped: then there will be another one
    record_.cause = RestartCause{RestartReason::by_operator, "started while it stopped"};
  }
}

void Replica::restart(const RestartCause& cause, Goal goal) {
  record_.goal = goal;
  record_.cause = cause;
  switch (record_.state) {
    case State::starting:
    case State::running:
      record_.is_on_purpose = true;
      base::log(LogLevel::info, "supervisor", "{}: restart of pid {}, {}: {}", label(), record_.pid,
                name_of(cause.reason), cause.detail);
      begin_drain();
      break;
    case State::waiting:
    case State::stopped:
      record_.strikes = 0;
      wait(0);
      break;
    case State::draining:
    case State::stopping:
      break;
  }
}

void Replica::stop(Goal goal) {
  record_.goal = goal;
  record_.cause.reset();
  record_.is_on_purpose = false;
  record_.sick_since_ns = 0;
  if (record_.state == State::starting || record_.state == State::running) {
    begin_drain();
  } else if (record_.state == State::waiting) {
    become(State::stopped);
  } else {
    owner_.on_replica_changed();  // what is stopped may leave now
  }
}

void Replica::kill() {
  if (record_.goal != Goal::leave) record_.goal = Goal::stop;
  record_.cause.reset();
  if (record_.state == State::waiting) become(State::stopped);
  if (record_.pid == 0) return;  // a sweep goes on
  disarm();
  become(State::stopping);
  signal_group(record_.pid, SIGKILL);
}

void Replica::set_definition(const conf::Service& definition) {
  record_.definition = definition;
  process_.take_settings();
}

// ---- events

void Replica::on_health(const HealthReport& report) {
  const bool is_living = record_.state == State::starting || record_.state == State::running;
  if (!is_living || (report.life != 0 && report.life != record_.life)) return;
  if (report.failures_in_row == 0) {
    record_.excused = 0;
    record_.sick_since_ns = 0;
    if (std::exchange(record_.wait, ReplicaWait::nothing) != ReplicaWait::nothing)
      owner_.on_replica_changed();
    if (record_.state == State::starting) begin_running();
    return;
  }
  const std::uint64_t now = base::monotonic_ns();
  const bool is_in_start_period =
      record_.state == State::starting &&
      now < record_.started_ns + base::whole_ms(record_.definition.start_period) * base::kNsPerMs;
  if (is_in_start_period) {
    record_.excused = report.failures_in_row;
    return;
  }
  if (report.failures_in_row < record_.excused) record_.excused = 0;  // the proxy counts anew
  if (report.failures_in_row - record_.excused < record_.definition.health.fall) return;
  if (record_.sick_since_ns != 0) return;
  record_.sick_since_ns = now;
  record_.sick_detail = fmt::format("{} failed probes: {}", report.failures_in_row, report.detail);
  record_.is_on_purpose = false;  // if it was: that restart has failed, others may have their turn
  base::log(LogLevel::warn, "supervisor", "{}: sick: {}", label(), record_.sick_detail);
  owner_.on_replica_changed();
}

void Replica::on_drained() {
  if (record_.state == State::draining) send_stop();
}

void Replica::on_exit(pid_t pid, Exit exit) {
  if (pid != record_.pid) return;
  record_.group = std::exchange(record_.pid, 0);
  record_.last_exit = exit;
  sweeps_ = 0;
  record_.is_out_of_memory = process_.was_out_of_memory(exit);
  // Before anything else: until the group is empty, no stranger can have its number.
  const bool has_rest = process_.kill_rest(false);
  if (!has_rest) process_.finish();  // its last words first
  log_exit(exit);
  if (!record_.cause && record_.goal != Goal::stop && record_.goal != Goal::leave)
    record_.is_on_purpose = false;
  disarm();
  become(State::stopping);
  if (has_rest) {
    arm(kSweepMs);
  } else {
    on_ended();
  }
}

// What is left of the process group holds the port, maybe.
void Replica::sweep() {
  ++sweeps_;
  if (!process_.kill_rest(true)) {
    on_ended();
  } else if (sweeps_ < kSweeps) {
    arm(std::min(kSweepMs << std::min(sweeps_, 8U), kSweepMostMs));
  } else {
    base::log(LogLevel::warn, "supervisor", "{}: of process group {} something survives SIGKILL",
              label(), record_.group);
    on_ended();
  }
}

void Replica::on_ended() {
  process_.finish();
  record_.group = 0;
  record_.started_us = 0;
  record_.sick_since_ns = 0;
  if (record_.goal == Goal::stop || record_.goal == Goal::leave) {
    record_.cause.reset();
    record_.is_on_purpose = false;
    become(State::stopped);
    return;
  }
  if (record_.cause) {
    if (record_.cause->reason == RestartReason::sick) {
      on_failure(RestartCause{*record_.cause});
    } else {
      record_.strikes = 0;
      wait(0);
    }
    return;
  }
  const conf::RestartPolicy policy = record_.definition.restart.policy;
  const bool is_over = policy == conf::RestartPolicy::never ||
                       (policy == conf::RestartPolicy::on_failure && record_.last_exit.is_clean());
  const auto reason = record_.is_out_of_memory ? RestartReason::oom : RestartReason::crashed;
  if (is_over || record_.goal == Goal::once) {
    record_.goal = Goal::stop;
    const char* const word = record_.last_exit.is_clean() ? "ended" : name_of(reason);
    record_.last_reason = fmt::format("{}: {}", word, text_of(record_.last_exit));
    become(State::stopped);
    return;
  }
  on_failure({reason, text_of(record_.last_exit)});
}

// The first failure of a replica that was well costs no wait; from the second on the wait doubles.
void Replica::on_failure(const RestartCause& cause) {
  record_.cause = cause;
  record_.last_reason = fmt::format("{}: {}", name_of(cause.reason), cause.detail);
  if (!record_.was_good) record_.strikes = std::max(record_.strikes, 1U);
  const std::uint64_t delay = record_.strikes == 0 ? 0 : owner_.backoff_ms(record_.strikes);
  ++record_.strikes;
  base::log(LogLevel::warn, "supervisor", "{}: {}: {}; next start in {} ms", label(),
            name_of(cause.reason), cause.detail, delay);
  wait(delay);
}

void Replica::on_timer() {
  record_.due_ns = 0;
  switch (record_.state) {
    case State::waiting:
      start_process();
      break;
    case State::starting:
      if (!is_probed()) begin_running();
      break;
    case State::running:
      record_.strikes = 0;
      break;
    case State::draining:
      send_stop();
      break;
    case State::stopping:
      if (record_.pid == 0) {
        sweep();
        break;
      }
      base::log(LogLevel::warn, "supervisor", "{}: pid {} does not stop within {} ms: SIGKILL",
                label(), record_.pid, base::whole_ms(record_.definition.stop.grace));
      signal_group(record_.pid, SIGKILL);
      break;
    case State::stopped:
      break;
  }
}

}  // namespace portunus::supervisor
