#include "supervisor/service_wait.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <fmt/core.h>

namespace portunus::supervisor {
namespace {

constexpr std::size_t kReplicasNamed = 8;

ServiceWait::Look failed(std::string why) {
  return {.line = {}, .is_over = true, .outcome = std::unexpected(std::move(why))};
}

std::string progress_of(const ReplicaRecord& replica) {
  std::string text = fmt::format("replica {} is {}", replica.number, name_of(replica.state));
  if (replica.state == ReplicaState::waiting && replica.cause)
    text += fmt::format(" ({}: {})", name_of(replica.cause->reason), replica.cause->detail);
  return text;
}

}  // namespace

ServiceWait::ServiceWait(const Service& service, WaitFor what)
    : service_(service.name()), what_(what) {
  for (const ReplicaRecord* replica : service.replicas())
    last_life_ = std::max(last_life_, replica->life);
}

bool ServiceWait::is_there(const ReplicaRecord& replica) const {
  if (what_ == WaitFor::stopped) return replica.state == ReplicaState::stopped;
  return replica.state == ReplicaState::running &&
         (what_ == WaitFor::ready || replica.life > last_life_);
}

ServiceWait::Look ServiceWait::look(const Service* service) const {
  if (service == nullptr) return failed("service " + service_ + " has been removed");
  const bool is_to_stop = what_ == WaitFor::stopped;
  if (service->is_stopped() != is_to_stop) {
    return failed(fmt::format("service {} has been {} meanwhile", service_,
                              is_to_stop ? "started" : "stopped"));
  }
  if (wanted_ >= 0 && service->desired() != wanted_) {
    return failed(
        fmt::format("service {}: {} replicas are wanted meanwhile", service_, service->desired()));
  }
  const std::vector<const ReplicaRecord*> replicas = service->replicas();
  std::size_t there = 0;
  std::size_t named = 0;
  std::string others;
  for (const ReplicaRecord* replica : replicas) {
    if (is_there(*replica)) {
      ++there;
      continue;
    }
    const bool is_over_for_good =
        replica->state == ReplicaState::stopped && replica->goal == ReplicaRecord::Goal::stop;
    if (is_over_for_good && !is_to_stop && !service->is_rolling()) {
      return failed(fmt::format("service {}: replica {} has ended ({}) and is not started again",
                                service_, replica->number, text_of(replica->last_exit)));
    }
    if (++named <= kReplicasNamed) others += "; " + progress_of(*replica);
  }
  const std::size_t wanted = is_to_stop ? replicas.size() : service->desired();
  Look look;
  look.line =
      fmt::format("{} of {} {}{}", there, wanted, is_to_stop ? "have ended" : "are ready", others);
  look.is_over = there == wanted && replicas.size() == wanted && !service->is_rolling();
  return look;
}

}  // namespace portunus::supervisor
