#include "supervisor/replica_record.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

namespace portunus::supervisor {

const char* name_of(ReplicaState state) {
  switch (state) {
    case ReplicaState::waiting:
      return "waiting";
    case ReplicaState::starting:
      return "starting";
    case ReplicaState::running:
      return "running";
    case ReplicaState::draining:
      return "draining";
    case ReplicaState::stopping:
      return "stopping";
    case ReplicaState::stopped:
      return "stopped";
  }
  return "";
}

const char* name_of(RestartReason reason) {
  switch (reason) {
    case RestartReason::crashed:
      return "crashed";
    case RestartReason::oom:
      return "oom";
    case RestartReason::start_failed:
      return "start_failed";
    case RestartReason::sick:
      return "sick";
    case RestartReason::roll:
      return "roll";
    case RestartReason::config:
      return "config";
    case RestartReason::by_operator:
      return "operator";
  }
  return "";
}

const char* name_of(ReplicaWait wait) {
  switch (wait) {
    case ReplicaWait::nothing:
      return "";
    case ReplicaWait::backoff:
      return "backoff";
    case ReplicaWait::storm_guard:
      return "storm_guard";
    case ReplicaWait::port:
      return "port";
    case ReplicaWait::turn:
      return "turn";
  }
  return "";
}

RestartCounts counts_from(std::span<const std::uint64_t> counts) {
  RestartCounts taken{};
  std::copy_n(counts.begin(), std::min(counts.size(), taken.size()), taken.begin());
  return taken;
}

std::string text_of(Exit exit) {
  if (exit.signal == 0) return fmt::format("status {}", exit.status);
  const char* const name = ::sigabbrev_np(exit.signal);
  return fmt::format("signal {} (SIG{})", exit.signal, name == nullptr ? "?" : name);
}

bool is_unplanned(RestartReason reason) {
  switch (reason) {
    case RestartReason::crashed:
    case RestartReason::oom:
    case RestartReason::start_failed:
      return true;
    case RestartReason::sick:  // the service has asked the storm guard before it was stopped
    case RestartReason::roll:
    case RestartReason::config:
    case RestartReason::by_operator:
      return false;
  }
  return false;
}

}  // namespace portunus::supervisor
