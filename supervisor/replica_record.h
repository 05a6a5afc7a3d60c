// All of a replica as plain values: what is shown of it, and what goes from a supervisor to the one
// that it re-executes itself as. Its Replica alone writes it. Supervisor's thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "conf/model.h"
#include "supervisor/reaper.h"

namespace portunus::supervisor {

enum class ReplicaState : std::uint8_t { waiting, starting, running, draining, stopping, stopped };
[[nodiscard]] const char* name_of(ReplicaState state);

// Why a process takes the place of another: the closed list of the log, the metrics and the API.
enum class RestartReason : std::uint8_t {
  crashed,       // it ended by itself, with whatever status
  oom,           // it ended for want of memory
  start_failed,  // it could not be executed
  sick,          // its probes failed
  roll,          // `portunus roll`
  config,        // its definition has changed
  by_operator,   // `portunus restart`; its word is "operator"
};
inline constexpr std::size_t kRestartReasons = 7;
[[nodiscard]] const char* name_of(RestartReason reason);
using RestartCounts = std::array<std::uint64_t, kRestartReasons>;  // by RestartReason
// Of a program that knows more reasons, or fewer.
[[nodiscard]] RestartCounts counts_from(std::span<const std::uint64_t> counts);
// It ended although nobody wanted that: for the storm guard.
[[nodiscard]] bool is_unplanned(RestartReason reason);
// What puts a start off, or the restart of one that is sick: the closed list of `portunus services` and
// the API.
enum class ReplicaWait : std::uint8_t {
  nothing,
  backoff,      // it has failed again and again
  storm_guard,  // too many restarts of its service
  port,         // none of its range is free
  turn,         // others are being restarted, or come first
};
[[nodiscard]] const char* name_of(ReplicaWait wait);  // empty for `nothing`
// "status 1", "signal 9 (SIGKILL)".
[[nodiscard]] std::string text_of(Exit exit);

struct RestartCause {
  RestartReason reason = RestartReason::crashed;
  std::string detail;
  friend bool operator==(const RestartCause&, const RestartCause&) = default;
};

struct ReplicaRecord {
  enum class Goal : std::uint8_t {
    run,
    once,   // to run, but to be stopped when it ends: a trial
    stop,   // and to stay
    leave,  // to be stopped and then deleted
  };
  std::uint32_t number = 0;  // `{replica}`; from 0, unique among those of the service
  std::uint16_t port = 0;    // 0 = none yet, or none at all
  ReplicaState state = ReplicaState::stopped;
  Goal goal = Goal::stop;
  pid_t pid = 0;           // 0 = no process
  pid_t group = 0;         // what is left of an ended process is in it; 0 = nothing
  std::uint32_t life = 0;  // of the present process; no two of a service have the same
  std::uint32_t restarts = 0;
  std::uint32_t strikes = 0;   // failures that count for the back-off
  std::uint32_t excused = 0;   // failed probes in a row that do not count: those of start_period
  bool was_good = false;       // the present process has been running
  bool is_on_purpose = false;  // being restarted although it did not end by itself
  ReplicaWait wait = ReplicaWait::nothing;
  std::uint64_t started_us = 0;     // of the present process, wall clock; 0 = none
  std::uint64_t started_ns = 0;     // the same on the monotonic clock
  std::uint64_t sick_since_ns = 0;  // 0 = not sick
  std::uint64_t due_ns = 0;         // when the timer of the present state ends; 0 = none
  std::uint64_t next_start_us = 0;  // while waiting
  int output = -1;     // reading end of its output's pipe, to be kept open over an exec; -1 = none
  std::string cgroup;  // folder of the present process; empty = none
  std::uint64_t oom_kills = 0;    // in that one before the present process
  bool is_out_of_memory = false;  // so it ended, and has not been started since
  std::string sick_detail;
  // Of the last failure or restart: a word of RestartReason, then details; "ended" and the status
  // when it has ended well and stays so.
  std::string last_reason;
  std::optional<RestartCause> cause;  // of the next start; none = it is not a restart
  Exit last_exit;
  conf::Service definition;  // of the present process; settings that need none are current
};

}  // namespace portunus::supervisor
