// What a replica does in its states: how it waits, starts, drains and is told to stop. Which event leads
// to which step is in replica.cc.
#include <algorithm>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/process.h"
#include "supervisor/replica.h"

namespace portunus::supervisor {
namespace {

using State = ReplicaState;
using base::LogLevel;

constexpr std::uint64_t kUnprobedMs = 1'000;  // of life make an unprobed process a running one
constexpr std::uint64_t kPortMostMs = 1'000;  // between looks whether a port has become free

}  // namespace

void Replica::arm(std::uint64_t after_ms) {
  record_.due_ns = base::monotonic_ns() + after_ms * base::kNsPerMs;
  timer_.arm(after_ms);
}

void Replica::disarm() {
  record_.due_ns = 0;
  timer_.disarm();
}

void Replica::become(ReplicaState state) {
  const bool was_member = is_known_member_;
  const bool was_draining = is_known_draining_;
  record_.state = state;
  record_.wait = ReplicaWait::nothing;
  if (state == State::stopped) disarm();
  is_known_member_ = is_member();
  is_known_draining_ = state == State::draining;
  if (was_member != is_known_member_ || (is_known_member_ && was_draining != is_known_draining_))
    owner_.on_members_changed();
  owner_.on_replica_changed();
}

void Replica::wait(std::uint64_t delay_ms) {
  record_.next_start_us = base::wall_us() + delay_ms * 1000;
  become(State::waiting);
  if (delay_ms > 0) record_.wait = ReplicaWait::backoff;
  arm(delay_ms);
}

void Replica::put_off(std::uint64_t for_ms, ReplicaWait wait) {
  record_.next_start_us = base::wall_us() + for_ms * 1000;
  arm(for_ms);
  hold_up(wait);
  owner_.on_replica_changed();  // another time is shown, at least
}

void Replica::hold_up(ReplicaWait wait) {
  if (std::exchange(record_.wait, wait) == wait || wait == ReplicaWait::turn) return;
  base::log(LogLevel::warn, "supervisor", "{}: (re)start has to wait: {}", label(),
            wait == ReplicaWait::port ? "no port of its range is free"
                                      : "storm: too many restarts of this service");
}

bool Replica::may_start() {
  if (record_.definition.ports.size() > 0) {
    const std::uint16_t port = owner_.choose_port(*this);
    if (port == 0) {
      const std::uint64_t again = base::whole_ms(record_.definition.restart.backoff_min);
      put_off(std::clamp<std::uint64_t>(again, 10, kPortMostMs), ReplicaWait::port);
      return false;
    }
    if (record_.port != 0 && port != record_.port)
      base::log(LogLevel::warn, "supervisor", "{}: takes port {} instead", label(), port);
    record_.port = port;
  } else {
    record_.port = 0;
  }
  if (!record_.cause || !is_unplanned(record_.cause->reason)) return true;
  const std::uint64_t storm_ms = owner_.ask_storm_guard();
  if (storm_ms > 0) put_off(storm_ms, ReplicaWait::storm_guard);
  return storm_ms == 0;
}

void Replica::start_process() {
  if (!may_start()) return;
  record_.was_good = false;
  record_.excused = 0;
  record_.sick_since_ns = 0;
  record_.next_start_us = 0;
  const std::optional<RestartCause> cause = std::exchange(record_.cause, std::nullopt);
  if (cause) {
    ++record_.restarts;
    record_.last_reason = fmt::format("{}: {}", name_of(cause->reason), cause->detail);
    owner_.on_restart(cause->reason);
  }
  const auto pid = process_.start();
  if (!pid) {
    record_.is_on_purpose = false;
    const bool is_over = record_.goal == Goal::once ||
                         record_.definition.restart.policy == conf::RestartPolicy::never;
    if (is_over) {
      record_.goal = Goal::stop;
      record_.last_reason =
          fmt::format("{}: {}", name_of(RestartReason::start_failed), pid.error());
      become(State::stopped);
      base::log(LogLevel::warn, "supervisor", "{}: start_failed: {}", label(), pid.error());
    } else {
      on_failure({RestartReason::start_failed, pid.error()});
    }
    return;
  }
  surroundings_.reaper.watch(*pid, *this);
  record_.pid = *pid;
  record_.life = owner_.next_life();
  record_.started_us = base::wall_us();
  record_.started_ns = base::monotonic_ns();
  base::log(LogLevel::info, "supervisor", "{}: started as pid {}", label(), *pid);
  become(State::starting);
  if (!is_probed()) arm(std::min(kUnprobedMs, base::whole_ms(record_.definition.start_period)));
}

void Replica::begin_running() {
  record_.was_good = true;
  record_.is_on_purpose = false;
  become(State::running);
  const conf::Restart& restart = record_.definition.restart;
  arm(std::max(base::whole_ms(restart.backoff_max), 10 * base::whole_ms(restart.backoff_min)));
}

void Replica::begin_drain() {
  disarm();
  if (!record_.definition.pool || !is_member()) {
    send_stop();
    return;
  }
  become(State::draining);
  if (record_.state == State::draining) arm(base::whole_ms(record_.definition.stop.grace));
}

void Replica::send_stop() {
  become(State::stopping);  // the proxy is told before the process is
  arm(base::whole_ms(record_.definition.stop.grace));
  signal_group(record_.pid, record_.definition.stop.signal);
  signal_group(record_.pid, SIGCONT);  // a stopped one gets no signal
}

void Replica::log_exit(Exit exit) const {
  const bool is_expected = record_.state == State::stopping || record_.state == State::draining;
  base::log(is_expected ? LogLevel::info : LogLevel::warn, "supervisor", "{}: pid {} ended with {}",
            label(), record_.group, text_of(exit));
}

}  // namespace portunus::supervisor
