#include "supervisor/service_scaling.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/units.h"
#include "supervisor/replica_process.h"

namespace portunus::supervisor {
namespace {

using base::LogLevel;

bool serves(const ReplicaRecord& record) {
  return record.state == ReplicaState::running;
}

}  // namespace

ServiceScaling::ServiceScaling(uv_loop_t& loop,
                               ScalingHost& host,
                               const conf::Service& definition,
                               SavedScaling saved)
    : host_(host),
      settings_(definition.scale),
      name_(definition.name),
      min_(definition.replicas_min),
      max_(definition.replicas_max),
      scaler_(settings_, min_, max_),
      timer_(loop, this, [](void* self) { static_cast<ServiceScaling*>(self)->on_tick(); }),
      saved_(std::move(saved)) {
  scaler_.hold_until(saved_.held_until_ms);
}

void ServiceScaling::apply(const conf::Service& definition) {
  if (!definition.scale.is_on()) saved_.is_ours = false;
  const bool is_same = settings_ == definition.scale && min_ == definition.replicas_min &&
                       max_ == definition.replicas_max;
  if (is_same) return;
  settings_ = definition.scale;
  min_ = definition.replicas_min;
  max_ = definition.replicas_max;
  scaler_ = Scaler(settings_, min_, max_);
  scaler_.hold_until(saved_.held_until_ms);
  dry_replicas_ = 0;
  set_active(false);
}

void ServiceScaling::set_active(bool is_active) {
  const bool is_on = is_active && settings_.is_on();
  if (is_on == timer_.is_armed()) return;
  scaler_.forget();
  measured_.clear();
  is_asked_ = false;
  requests_.reset();
  if (is_on) {
    timer_.arm(scaler_.interval_ms());
  } else {
    timer_.disarm();
  }
}

void ServiceScaling::on_person(std::uint32_t from, std::uint32_t to) {
  saved_.is_ours = false;
  if (settings_.is_on()) {
    saved_.held_until_ms =
        base::monotonic_ms() + static_cast<std::uint64_t>(settings_.down_after.count());
    scaler_.hold_until(saved_.held_until_ms);
  }
  note(fmt::format("from {} to {}: portunus scale", from, to));
}

void ServiceScaling::on_requests(const RequestLoad& requests) {
  if (!std::exchange(is_asked_, false)) return;
  requests_ = requests;
  decide();
}

bool ServiceScaling::needs_requests() const {
  return settings_.in_flight > 0 || settings_.queue > 0;
}

void ServiceScaling::on_tick() {
  timer_.arm(scaler_.interval_ms());
  cpus_ = settings_.cpu_percent > 0 ? measure_cpus(base::monotonic_ns()) : std::nullopt;
  if (!needs_requests()) {
    decide();
    return;
  }
  requests_.reset();
  if (std::exchange(is_asked_, true)) decide();  // without the answer that has not come
  host_.ask_requests();
}

// Of those that serve and did so the last time; the others are taken to be like them.
std::optional<double> ServiceScaling::measure_cpus(std::uint64_t now_ns) {
  std::vector<Measured> measured;
  std::uint64_t used_us = 0;
  std::uint32_t known = 0;
  std::uint32_t serving = 0;
  for (const ReplicaRecord* record : host_.replicas()) {
    if (!serves(*record)) continue;
    ++serving;
    const auto usage = usage_of(*record);
    if (!usage) continue;
    const auto before = std::ranges::find(measured_, record->life, &Measured::life);
    if (before != measured_.end() && usage->cpu_us >= before->cpu_us) {
      used_us += usage->cpu_us - before->cpu_us;
      ++known;
    }
    measured.push_back({record->life, usage->cpu_us});
  }
  measured_ = std::move(measured);
  const double passed_us = static_cast<double>(now_ns - std::exchange(measured_ns_, now_ns)) / 1e3;
  if (known == 0 || passed_us <= 0) return std::nullopt;
  return static_cast<double>(used_us) / passed_us * serving / known;
}

void ServiceScaling::decide() {
  const std::uint32_t desired = host_.desired();
  if (!settings_.dry_run || dry_replicas_ == 0 || dry_base_ != desired) {
    dry_replicas_ = dry_base_ = desired;
  }
  const auto decision =
      scaler_.decide({.now_ms = base::monotonic_ms(),
                      .replicas = dry_replicas_,
                      .is_served = std::ranges::any_of(host_.replicas(),
                                                       [](const auto* it) { return serves(*it); }),
                      .cpus = cpus_,
                      .requests = requests_});
  tell_shortage();
  if (decision) carry_out(*decision);
}

void ServiceScaling::carry_out(const ScaleDecision& decision) {
  const std::string text = text_of(decision);
  ScalingCounts& counts = saved_.counts;
  if (settings_.dry_run) {
    ++(decision.is_up() ? counts.dry_up : counts.dry_down);
    dry_replicas_ = decision.to;
    base::log(LogLevel::info, "supervisor", "service {}: dry run: would be scaled {}", name_, text);
    note("dry run: " + text);
    return;
  }
  ++(decision.is_up() ? counts.up : counts.down);
  saved_.is_ours = true;
  base::log(LogLevel::info, "supervisor", "service {}: scaled {}", name_, text);
  note(text);
  host_.on_scaled(decision.to);
}

// Once for each time.
void ServiceScaling::tell_shortage() {
  if (std::exchange(is_short_told_, scaler_.is_short()) || !scaler_.is_short()) return;
  base::log(LogLevel::warn, "supervisor", "service {}: its load takes more than its {} replicas",
            name_, max_);
}

// "from 2 to 4: in_flight 75.2, 37.6 per replica; target 20; 1 to 10 are allowed"
std::string ServiceScaling::text_of(const ScaleDecision& decision) const {
  const double each = decision.load / decision.from;
  std::string load;
  switch (decision.signal) {
    case ScaleSignal::cpu:
      load = fmt::format("cpu {:.2f}, {:.0f}% per replica; target {:.0f}%", decision.load,
                         each * 100, decision.target * 100);
      break;
    case ScaleSignal::in_flight:
      load = fmt::format("in_flight {:.1f}, {:.1f} per replica; target {:.0f}", decision.load, each,
                         decision.target);
      break;
    case ScaleSignal::queue:
      load = fmt::format("queue {:.1f}; bound {:.0f}", decision.load, decision.target);
      break;
  }
  const auto over = decision.is_up() ? settings_.up_after : settings_.down_after;
  return fmt::format("from {} to {}: {}; for {}; {} to {} are allowed", decision.from, decision.to,
                     load, conf::format_duration(over), min_, max_);
}

void ServiceScaling::note(std::string what) {
  saved_.last = std::move(what);
  host_.on_scaling_changed();
}

}  // namespace portunus::supervisor
