#include "supervisor/service.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/cgroup.h"
#include "supervisor/replica_launch.h"

namespace portunus::supervisor {
namespace {

using Goal = ReplicaRecord::Goal;
using State = ReplicaState;
using base::LogLevel;

StormGuard guard_of(const conf::Service& service) {
  return {service.restart.max_in_window,
          static_cast<std::uint64_t>(service.restart.window.count())};
}

}  // namespace

Service::Service(Surroundings& surroundings, ServiceHost& host, const conf::Service& definition)
    : Service(surroundings,
              host,
              SavedService{.definition = definition,
                           .proven = definition,
                           .desired = definition.replicas_min,
                           .scaling = {},
                           .recent_restarts_ms = {},
                           .replicas = {}}) {}

Service::Service(Surroundings& surroundings, ServiceHost& host, SavedService saved)
    : surroundings_(surroundings),
      host_(host),
      definition_(std::move(saved.definition)),
      proven_(std::move(saved.proven)),
      storm_guard_(guard_of(definition_)),
      scaling_(surroundings.loop,
               static_cast<ScalingHost&>(*this),
               definition_,
               std::move(saved.scaling)),
      turn_(surroundings.loop, this, [](void* self) { static_cast<Service*>(self)->settle(); }),
      restarts_(saved.restarts),
      desired_(saved.desired),
      last_life_(saved.last_life),
      is_scaled_(saved.is_scaled),
      is_stopped_(saved.is_stopped),
      is_removed_(saved.is_removed) {
  for (const std::uint64_t time : saved.recent_restarts_ms)
    storm_guard_.add(time);
  for (ReplicaRecord& record : saved.replicas) {
    if (record.goal == Goal::once) record.goal = Goal::run;  // there is no roll that tries it
    if (needs_new_process(record.definition, definition_)) is_roll_due_ = true;
    replicas_.push_back(std::make_unique<Replica>(surroundings_, static_cast<ReplicaOwner&>(*this),
                                                  std::move(record)));
  }
  turn_.arm(0);
  warn_of_limits();
}

Service::~Service() = default;

void Service::warn_of_limits() const {
  const bool has_cpu = surroundings_.cgroups != nullptr && surroundings_.cgroups->has_cpu();
  if (definition_.limits.cpu_percent == 0 || has_cpu) return;
  const std::size_t available = cpus_of(0).size();
  const std::size_t count = whole_cpus(definition_.limits.cpu_percent, available);
  const std::string outcome =
      count == 0 ? fmt::format("and there are no more than {}: not limited", available)
                 : fmt::format("{} of {} for each replica", count, available);
  base::log(LogLevel::warn, "supervisor",
            "service {}: Portunus has no cgroup (v2) that limits CPU: {}% is rounded up to whole "
            "CPUs, {}",
            name(), definition_.limits.cpu_percent, outcome);
}

SavedService Service::save() const {
  SavedService saved{.definition = definition_,
                     .proven = proven_,
                     .desired = desired_,
                     .last_life = last_life_,
                     .is_scaled = is_scaled_,
                     .is_stopped = is_stopped_,
                     .is_removed = is_removed_,
                     .scaling = scaling_.saved(),
                     .restarts = restarts_,
                     .recent_restarts_ms = storm_guard_.times_ms(),
                     .replicas = {}};
  for (const auto& replica : replicas_)
    saved.replicas.push_back(replica->record());
  return saved;
}

// ---- commands

void Service::start() {
  is_stopped_ = false;
  turn_.arm(0);
  if (roll_ != nullptr) return;
  for (const auto& replica : replicas_) {
    if (!replica->is_leaving()) replica->run(Goal::run);
  }
}

void Service::stop() {
  stop_roll("the service is stopped");
  is_stopped_ = true;
  is_stop_told_ = false;
  turn_.arm(0);
  for (const auto& replica : replicas_)
    replica->stop(replica->is_leaving() ? Goal::leave : Goal::stop);
}

void Service::kill_all() {
  stop_roll("the service is killed");
  if (!is_stopped_) is_stop_told_ = false;
  is_stopped_ = true;
  turn_.arm(0);
  for (const auto& replica : replicas_)
    replica->kill();
}

void Service::remove() {
  is_removed_ = true;
  stop();
  for (const auto& replica : replicas_)
    replica->stop(Goal::leave);
}

Service::Outcome Service::ready_to_change() const {
  if (is_removed_) return std::unexpected("service " + name() + " is being removed");
  if (is_stopped_) return std::unexpected("service " + name() + " is stopped");
  if (roll_ != nullptr) return std::unexpected("service " + name() + " is being rolled already");
  return {};
}

Service::Outcome Service::restart() {
  if (auto ready = ready_to_change(); !ready) return ready;
  for (const auto& replica : replicas_) {
    if (replica->is_leaving()) continue;
    replica->set_definition(definition_);
    replica->restart({RestartReason::by_operator, "restart of the service"});
  }
  return {};
}

Service::Outcome Service::scale(std::uint32_t replicas) {
  if (auto ready = ready_to_change(); !ready) return ready;
  if (replicas < definition_.replicas_min || replicas > definition_.replicas_max) {
    return std::unexpected(fmt::format("service {}: {} is not within its replicas {} to {}", name(),
                                       replicas, definition_.replicas_min,
                                       definition_.replicas_max));
  }
  base::log(LogLevel::info, "supervisor", "service {}: scaled from {} to {}", name(), desired_,
            replicas);
  scaling_.on_person(desired_, replicas);
  desired_ = replicas;
  is_scaled_ = true;
  turn_.arm(0);
  return {};
}

void Service::on_scaled(std::uint32_t replicas) {
  desired_ = replicas;
  is_scaled_ = true;
  turn_.arm(0);
}

void Service::apply(const conf::Service& definition) {
  const bool is_back = std::exchange(is_removed_, false);
  if (is_back) is_stopped_ = false;
  refusal_.clear();
  if (definition == definition_ && !is_back) return;
  stop_roll("the configuration has changed");
  is_rolling_back_ = false;
  const bool is_pool_changed = definition.pool != definition_.pool;
  const bool is_limit_changed = definition.limits != definition_.limits;
  if (!definition.scale.is_on() && scaling_.saved().is_ours) is_scaled_ = false;
  definition_ = definition;
  scaling_.apply(definition_);
  if (is_limit_changed) warn_of_limits();
  const std::uint32_t wanted = is_scaled_ ? desired_ : definition.replicas_min;
  desired_ = std::clamp(wanted, definition.replicas_min, definition.replicas_max);
  take_settings();
  turn_.arm(0);
  if (is_back) start();
  if (is_pool_changed) on_members_changed();
}

// Settings are current at once; what needs a new process comes with a roll.
void Service::take_settings() {
  is_roll_due_ = false;
  for (const auto& replica : replicas_) {
    const ReplicaRecord& record = replica->record();
    if (replica->is_leaving()) continue;
    if (record.state != State::stopped && needs_new_process(record.definition, definition_)) {
      replica->set_definition(with_settings(record.definition, definition_));
      is_roll_due_ = true;
    } else {
      replica->set_definition(definition_);
    }
  }
  StormGuard guard = guard_of(definition_);
  for (const std::uint64_t time : storm_guard_.times_ms())
    guard.add(time);
  storm_guard_ = std::move(guard);
  proven_ = is_roll_due_ ? with_settings(proven_, definition_) : definition_;
}

// ---- events

void Service::on_health(const HealthReport& report) {
  for (const auto& replica : replicas_) {
    if (replica->record().port == report.port) replica->on_health(report);
  }
}

void Service::on_drained(std::uint16_t port, std::uint32_t life) {
  for (const auto& replica : replicas_) {
    const ReplicaRecord& record = replica->record();
    if (record.port == port && (life == 0 || life == record.life)) replica->on_drained();
  }
}

// ---- views

std::vector<ServiceMember> Service::members() const {
  std::vector<ServiceMember> members;
  for (const auto& replica : replicas_) {
    const ReplicaRecord& record = replica->record();
    if (replica->is_member())
      members.push_back({record.port, record.life, record.state == State::draining});
  }
  return members;
}

std::vector<const ReplicaRecord*> Service::replicas() const {
  std::vector<const ReplicaRecord*> records;
  records.reserve(replicas_.size());
  for (const auto& replica : replicas_)
    records.push_back(&replica->record());
  return records;
}

bool Service::has_process() const {
  return std::ranges::any_of(replicas_, [](const auto& replica) {
    return replica->record().pid != 0 || replica->record().group != 0;
  });
}

// ---- what replicas ask

std::uint16_t Service::free_port(const conf::PortRange& range, const Replica* asking) const {
  const auto is_taken = [&](std::uint16_t port) {
    return std::ranges::any_of(replicas_, [&](const auto& replica) {
      return replica.get() != asking && replica->record().port == port;
    });
  };
  for (std::uint32_t i = 0; i < range.size(); ++i) {
    const auto port = static_cast<std::uint16_t>(range.first + i);
    if (!is_taken(port) && is_port_free(port)) return port;
  }
  return 0;
}

std::uint16_t Service::choose_port(const Replica& replica) {
  const conf::PortRange& range = replica.record().definition.ports;
  const std::uint16_t own = replica.record().port;
  if (own >= range.first && own <= range.last) {
    if (is_port_free(own)) return own;
    base::log(LogLevel::warn, "supervisor", "service {}: port {} is in use by another program",
              name(), own);
  }
  return free_port(range, &replica);
}

std::uint64_t Service::ask_storm_guard() {
  const std::uint64_t now = base::monotonic_ms();
  const std::uint64_t wait = storm_guard_.next_allowed(now) - now;
  if (wait == 0) storm_guard_.add(now);
  return wait;
}

std::uint64_t Service::backoff_ms(std::uint32_t strikes) {
  const double chance = std::uniform_real_distribution(0.0, 1.0)(chance_);
  return supervisor::backoff_ms(
      strikes, static_cast<std::uint64_t>(definition_.restart.backoff_min.count()),
      static_cast<std::uint64_t>(definition_.restart.backoff_max.count()), chance);
}

void Service::on_restart(RestartReason reason) {
  ++restarts_[static_cast<std::size_t>(reason)];
}

// ---- when the loop turns

void Service::settle() {
  std::erase_if(replicas_, [](const auto& replica) { return replica->is_gone(); });
  step_roll();
  if (roll_ == nullptr && !is_stopped_) {
    keep_count();
    if (std::exchange(is_roll_due_, false)) begin_config_roll(nullptr);
  }
  restart_sick();
  scaling_.set_active(roll_ == nullptr && !is_stopped_);
  host_.on_changed(*this);
  const bool is_over = std::ranges::all_of(
      replicas_, [](const auto& replica) { return replica->record().state == State::stopped; });
  if (is_stopped_ && is_over && !std::exchange(is_stop_told_, true)) host_.on_stopped(*this);
}

std::uint32_t Service::staying() const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(replicas_, [](const auto& replica) { return !replica->is_leaving(); }));
}

void Service::keep_count() {
  while (staying() < desired_)
    add_replica(definition_, 0).run(Goal::run);
  while (staying() > desired_)
    drop_one();
}

// One that does not run, or else the highest number.
void Service::drop_one() {
  Replica* dropped = nullptr;
  for (const auto& replica : replicas_) {
    if (replica->is_leaving()) continue;
    const bool is_running = replica->record().state == State::running;
    if (dropped == nullptr || !is_running || dropped->record().state == State::running)
      dropped = replica.get();
  }
  if (dropped != nullptr) dropped->stop(Goal::leave);
}

Replica& Service::add_replica(const conf::Service& definition, std::uint16_t port) {
  ReplicaRecord record;
  auto place = replicas_.begin();
  for (; place != replicas_.end() && (*place)->record().number == record.number; ++place)
    ++record.number;  // the smallest number that is free; they are in order
  record.port = port;
  record.definition = definition;
  return **replicas_.insert(
      place, std::make_unique<Replica>(surroundings_, static_cast<ReplicaOwner&>(*this),
                                       std::move(record)));
}

// Those that have been sick longest come first.
void Service::restart_sick() {
  if (is_stopped_ || definition_.restart.policy == conf::RestartPolicy::never) return;
  const Replica* held = nullptr;
  Replica* first = find_sickest();
  for (; first != nullptr && may_restart_on_purpose(); first = find_sickest()) {
    if (const std::uint64_t wait_ms = ask_storm_guard(); wait_ms > 0) {
      held = first;
      turn_.arm(wait_ms);
      break;
    }
    first->restart({RestartReason::sick, first->record().sick_detail});
  }
  for (const auto& replica : replicas_) {
    if (!replica->is_waiting_for_restart()) continue;
    replica->hold_up(replica.get() == held ? ReplicaWait::storm_guard : ReplicaWait::turn);
  }
}

Replica* Service::find_sickest() const {
  Replica* first = nullptr;
  for (const auto& replica : replicas_) {
    if (!replica->is_waiting_for_restart()) continue;
    if (first == nullptr || replica->record().sick_since_ns < first->record().sick_since_ns)
      first = replica.get();
  }
  return first;
}

}  // namespace portunus::supervisor
