// What the control thread tells the admin API.
#include <algorithm>
#include <span>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/consul_pools.h"
#include "proxy/control.h"
#include "proxy/explain.h"

namespace portunus::proxy {
namespace {

double seconds(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e9;
}

std::string_view name_of(conf::Balance balance) {
  switch (balance) {
    case conf::Balance::least_connections:
      return "least_connections";
    case conf::Balance::round_robin:
      return "round_robin";
    case conf::Balance::random_two:
      return "random_two";
    case conf::Balance::consistent_hash:
      return "consistent_hash";
  }
  return "";
}

std::string_view name_of(health::AdminState state) {
  switch (state) {
    case health::AdminState::enabled:
      return "enabled";
    case health::AdminState::drained:
      return "drained";
    case health::AdminState::disabled:
      return "disabled";
  }
  return "";
}

std::string_view name_of(conf::WhenUnhealthy choice) {
  switch (choice) {
    case conf::WhenUnhealthy::fail:
      return "fail";
    case conf::WhenUnhealthy::last_known:
      return "last_known";
    case conf::WhenUnhealthy::all:
      return "all";
  }
  return "";
}

bool is_panicking(const MemberList& list) {
  return std::ranges::any_of(list.entries, [](const MemberEntry& entry) {
    return entry.member->is_selectable() && !entry.member->is_healthy();
  });
}

double effective_weight(const MemberEntry& entry) {
  if (!entry.member->is_selectable()) return 0;
  return static_cast<double>(entry.weight) * entry.member->share.load(std::memory_order_relaxed) /
         health::kFullShare;
}

// The probes' word on it is in successes and failures.
constexpr const char* kDrainReason = "its replica is about to go";

void fill_probe(const health::ProbeStatus& status, MemberView& view) {
  view.since_us = status.since_us;
  view.reason = status.reason;
  view.probe_kind = health::name_of(status.kind);
  view.probe_at_us = status.last.at_us;
  view.probe_ok = status.last.verdict == health::Verdict::good;
  view.probe_status = status.last.status;
  view.probe_duration_s = seconds(status.last.duration_ns);
  view.probe_detail = status.last.detail;
  view.successes = status.successes;
  view.failures = status.failures;
  view.probes_good = status.good_total;
  view.probes_bad = status.bad_total;
}

void fill_traffic(const health::TrafficStatus& status, MemberView& view) {
  view.ejections = status.ejections;
  if (status.has_breaker) view.breaker = health::breaker_word(status.breaker);
  for (const std::uint64_t trips : status.trips)
    view.breaker_trips += trips;
  if (status.reason.empty()) return;
  view.since_us = status.since_us;
  view.reason = status.reason;
}

OverloadView view_of(std::span<const std::unique_ptr<Worker>> workers) {
  OverloadView view;
  for (const auto& worker : workers) {
    const PressureBoard& board = worker->pressure();
    view.memory += board.memory.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < kShortageCount; ++i) {
      view.levels[i] = std::max(view.levels[i], board.levels[i].load(std::memory_order_relaxed));
      for (std::size_t k = 0; k < kPressureMost; ++k)
        view.shed[i][k] += board.shed[i][k].load(std::memory_order_relaxed);
    }
  }
  return view;
}

}  // namespace

std::string_view Control::not_ready_reason() const {
  switch (state_) {
    case State::starting:
      return "starting";
    case State::ready:
      return {};
    case State::announcing:
    case State::draining:
    case State::ended:
      return "draining";
  }
  return {};
}

StatusView Control::status() const {
  StatusView view;
  const std::string_view reason = not_ready_reason();
  view.state = reason.empty() ? "ready" : reason;
  view.started_us = started_us_;
  view.config_file = options_.config_file;
  view.generations_alive = builder_.alive();
  view.runs_on_copy = runs_on_copy_;
  view.last_reload_ok = last_reload_ok_;
  view.last_reload_error = last_reload_error_;
  view.reloads_ok = reloads_ok_;
  view.reloads_failed = reloads_failed_;
  view.threads = static_cast<std::uint32_t>(workers_.size());
  for (const auto& worker : workers_)
    view.connections += worker->clients();
  if (!current_) return view;
  view.config_hash = current_->hash;
  view.generation = current_->number;
  view.loaded_us = current_->loaded_us;
  view.sites = current_->model->sites.size();
  view.routes = current_->routes.routes().size();
  for (const conf::Listener& listener : current_->model->listeners) {
    const bool v6 = listener.address.host.find(':') != std::string::npos;
    view.listeners.push_back(
        {listener.name, (v6 ? "[" + listener.address.host + "]" : listener.address.host) + ":" +
                            std::to_string(listener.address.port)});
  }
  return view;
}

std::vector<PoolView> Control::pools() const {
  std::vector<PoolView> views;
  if (!current_) return views;
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    const conf::Pool& pool = current_->model->pools[i];
    PoolView& view = views.emplace_back();
    view.name = pool.name;
    view.balance = name_of(pool.balance);
    view.when_unhealthy = name_of(pool.when_unhealthy);
    view.is_panicking = is_panicking(*lists_[i]);
    view.concurrency = concurrency_.view(pool.name);
    if (pool.consul) view.discovery = consul_.status(consul_key_of(pool, current_->model->consul));
    for (const MemberEntry& entry : lists_[i]->entries)
      view.members.push_back(view_of(entry));
  }
  return views;
}

std::expected<Explanation, std::string> Control::explain(const ExplainQuestion& question) const {
  if (!current_) return std::unexpected("the proxy is starting");
  auto explained = proxy::explain(*current_, lists_, question);
  if (!explained) return explained;
  const std::vector<PoolView> views = pools();
  for (ExplainedPool& pool : explained->pools)
    pool.view = views[pool.index];
  return explained;
}

MemberView Control::view_of(const MemberEntry& entry) const {
  const health::Member& member = *entry.member;
  MemberView shown;
  shown.name = member.name;
  shown.address = member.address.text();
  shown.weight = entry.weight;
  shown.configured_weight = entry.configured_weight != 0 ? entry.configured_weight : entry.weight;
  shown.effective_weight = effective_weight(entry);
  shown.admin = name_of(member.admin);
  shown.is_backup = entry.is_backup;
  shown.state = health::name_of(member.state.load(std::memory_order_relaxed));
  shown.is_selectable = member.is_selectable();
  shown.in_flight = member.in_flight.load(std::memory_order_relaxed);
  shown.connections = member.connections.load(std::memory_order_relaxed);
  if (const health::ProbeStatus* status = prober_.status_of(member)) fill_probe(*status, shown);
  if (const auto* traffic = judge_.status_of(member)) fill_traffic(*traffic, shown);
  shown.failures_in_row = member.conduct.failures_in_row.load(std::memory_order_relaxed);
  const discovery::Instance* const instance = builder_.dynamic().discovered().find(member);
  if (instance != nullptr) {
    shown.source = "consul";
    shown.discovered = discovery::name_of(instance->status);
    shown.discovered_reason = reason_of(*instance);
    if (member.duty == health::MemberDuty::drain) shown.reason = shown.discovered_reason;
  }
  const DynamicMembers::Replica* replica = builder_.dynamic().find(member);
  if (replica != nullptr) shown.source = "service";
  if (replica != nullptr && replica->is_draining) {
    shown.since_us = replica->since_us;
    shown.reason = kDrainReason;
  }
  if (member.admin != health::AdminState::enabled) {
    shown.since_us = builder_.orders().find(member.pool, member.name).since_us;
    shown.reason = shown.admin + " by an operator";
  }
  return shown;
}

std::vector<CertificateView> Control::certificates() const {
  if (!current_) return {};
  std::vector<CertificateView> views =
      list_certificates(*current_->model, tls_setup_->files, tls_.made());
  const auto now = static_cast<std::int64_t>(base::wall_us() / 1'000'000);
  for (CertificateView& each : views)
    each.ocsp = staples_.view(*each.certificate, now);
  return views;
}

std::string Control::metrics_text() {
  MetricsInputs inputs;
  inputs.certificates = certificates();
  inputs.ocsp_fetches = staples_.counts();
  if (current_) inputs.revocations = revocations_.views(*current_->model);
  inputs.services = services_.views();
  inputs.discovery = consul_.statuses();
  inputs.overload = proxy::view_of(workers_);
  inputs.reloads_succeeded = reloads_ok_;
  inputs.reloads_failed = reloads_failed_;
  inputs.is_last_reload_successful = last_reload_ok_;
  inputs.last_reload_success_s = static_cast<double>(last_success_us_) / 1e6;
  inputs.generations_alive = builder_.alive();
  inputs.access_log_dropped = access_log_.dropped();
  inputs.log_dropped = base::log_dropped();
  if (current_) {
    inputs.generation = current_->number;
    inputs.config_hash = current_->hash;
    if (const ClientCounts* const clients = current_->clients.get()) {
      inputs.uncounted_connections = clients->connections.uncounted();
      inputs.uncounted_requests = clients->requests.uncounted();
    }
    inputs.rate_limits = views_of(current_->rate_limits, base::monotonic_ns());
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      MetricsInputs::Pool& pool = inputs.pools.emplace_back();
      pool.name = current_->model->pools[i].name;
      pool.is_panicking = is_panicking(*lists_[i]);
      pool.concurrency = concurrency_.view(pool.name);
      if (current_->model->pools[i].hash_bound_ratio > 0) {
        pool.passed_over = current_->pool_shares[i]->passed_over.load(std::memory_order_relaxed);
      }
      for (const MemberEntry& entry : lists_[i]->entries) {
        MetricsInputs::Member& member = pool.members.emplace_back();
        member.member = entry.member;
        member.effective_weight = effective_weight(entry);
        member.traffic = judge_.status_of(*entry.member);
        const auto tally = tallies_.find(entry.member->metrics_id);
        if (tally == tallies_.end()) continue;
        member.probes.check = tally->second.check;
        member.probes.passed = tally->second.passed;
        member.probes.failed = tally->second.failed;
        member.probes.duration = &tally->second.duration;
        member.probes.transitions = tally->second.transitions;
      }
    }
  }
  return metrics_.render(inputs);
}

}  // namespace portunus::proxy
