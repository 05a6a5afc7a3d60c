// A service's rolling restarts: the operator's, and those that bring a new definition or, when it does
// not work, take it back.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "supervisor/replica_launch.h"
#include "supervisor/service.h"

namespace portunus::supervisor {

using base::LogLevel;

Service::Outcome Service::roll(RollListener* listener) {
  if (auto ready = ready_to_change(); !ready) return ready;
  if (!refusal_.empty()) {  // whatever was missing then may be there now
    apply(conf::Service(refused_));
    if (std::exchange(is_roll_due_, false)) {
      begin_config_roll(listener);
      return {};
    }
  }
  RollPlan plan{{RestartReason::roll, "rolling restart"}, {}, definition_, definition_};
  for (const auto& replica : replicas_) {
    if (!replica->is_leaving()) plan.replicas.push_back(replica->record().number);
  }
  if (plan.replicas.empty()) return std::unexpected("service " + name() + " has no replica");
  roll_ = std::make_unique<Roll>(surroundings_.loop, static_cast<RollHost&>(*this), std::move(plan),
                                 listener);
  turn_.arm(0);
  return {};
}

void Service::forget_listener(const RollListener& listener) {
  if (roll_ != nullptr) roll_->forget_listener(listener);
}

// ---- what a roll asks

Replica* Service::find_replica(std::uint32_t number) {
  for (const auto& replica : replicas_) {
    if (replica->record().number == number) return replica.get();
  }
  return nullptr;
}

Replica* Service::add_newcomer(const conf::Service& definition) {
  const std::uint16_t port = free_port(definition.ports, nullptr);
  return port == 0 ? nullptr : &add_replica(definition, port);
}

bool Service::may_restart_on_purpose() {
  const auto busy = std::ranges::count_if(
      replicas_, [](const auto& replica) { return replica->record().is_on_purpose; });
  return busy < std::max<std::int64_t>(desired_ / 3, 1);
}

// ---- when the loop turns

void Service::step_roll() {
  if (roll_ == nullptr) return;
  roll_->step();
  if (roll_->state() != RollState::going) finish_roll();
}

void Service::finish_roll() {
  const bool is_done = roll_->state() == RollState::done;
  const bool is_config = roll_->plan().cause.reason == RestartReason::config;
  std::string outcome = roll_->outcome();
  roll_.reset();
  if (!is_config) return;
  const bool was_back = std::exchange(is_rolling_back_, false);
  if (is_done) {
    proven_ = definition_;
  } else if (!was_back) {
    base::log(
        LogLevel::error, "supervisor",
        "service {}: its new definition does not work; it keeps the former one (portunus roll "
        "tries it again)",
        name());
    refused_ = std::move(definition_);
    refusal_ = std::move(outcome);
    definition_ = proven_;
    scaling_.apply(definition_);
    desired_ = std::clamp(desired_, definition_.replicas_min, definition_.replicas_max);
    take_settings();
    is_rolling_back_ = is_roll_due_;
  }
}

void Service::begin_config_roll(RollListener* listener) {
  RollPlan plan{{RestartReason::config,
                 is_rolling_back_ ? "back to the former definition" : "its definition has changed"},
                {},
                definition_,
                proven_};
  for (const auto& replica : replicas_) {
    if (!replica->is_leaving() && needs_new_process(replica->record().definition, definition_))
      plan.replicas.push_back(replica->record().number);
  }
  roll_ = std::make_unique<Roll>(surroundings_.loop, static_cast<RollHost&>(*this), std::move(plan),
                                 listener);
  turn_.arm(0);
}

void Service::stop_roll(std::string_view why) {
  if (roll_ == nullptr) return;
  roll_->abort(why);
  roll_.reset();
}

}  // namespace portunus::supervisor
