#include "proxy/control.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/admin.h"
#include "proxy/load_job.h"
#include "proxy/process.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

constexpr std::uint64_t kTickMs = 60'000;
// Descriptors that are not clients or members: the loops', log files, probes, the admin's.
constexpr std::size_t kDescriptorReserve = 16;

std::uint64_t ms(conf::Milliseconds duration) {
  return static_cast<std::uint64_t>(duration.count());
}

}  // namespace

int run_proxy(const RunOptions& options) {
  Control control(options);
  return control.run();
}

Control::Control(const RunOptions& options)
    : options_(options),
      builder_(metrics_.registry()),
      prober_(loop_, *this),
      first_round_(this, [](void* self) { static_cast<Control*>(self)->on_first_round_done(); }),
      started_us_(base::wall_us()),
      tick_(this, [](void* self) { static_cast<Control*>(self)->on_tick(); }),
      stop_deadline_(this, [](void* self) {
        auto* control = static_cast<Control*>(self);
        if (control->state_ == State::announcing) {
          control->begin_drain();
        } else {
          control->end_now();
        }
      }) {}

Control::~Control() = default;

int Control::run() {
  if (!start()) {
    base::stop_log();
    return 1;
  }
  loop_.run();
  for (auto& worker : workers_)
    worker->join();
  access_log_.stop();
  current_.reset();
  workers_.clear();
  base::log(LogLevel::info, "proxy", "stopped");
  base::stop_log();
  return exit_status_;
}

bool Control::start() {
  conf::LoadResult loaded = conf::load_file(options_.config_file);
  if (!loaded.model) {
    std::fputs(conf::format_text(loaded.diagnostics).c_str(), stderr);
    return false;
  }
  if (std::string why; !apply_logging(*loaded.model, why)) {
    base::log(LogLevel::error, "config", "cannot start: {}", why);
    return false;
  }
  for (const conf::Diagnostic& diagnostic : loaded.diagnostics) {
    base::log(LogLevel::warn, "config", "{}:{}: {}", diagnostic.file, diagnostic.line,
              diagnostic.message);
  }
  start_workers(*loaded.model);
  const net::Loop::Turn turn(loop_);
  note_seen(loaded);
  is_reloading_ = true;
  reload_began_ns_ = base::monotonic_ns();
  files_ = std::make_unique<FileWatch>(loop_, *this);
  admin_ = std::make_unique<Admin>(loop_, *this);
  RouteTable routes = RouteTable::build(*loaded.model);
  const ResolvedNames names = resolve_members(*loaded.model);
  prepare(std::move(loaded), std::move(routes), names);
  if (!last_reload_ok_) {
    // The reason has been logged.
    signals_ = nullptr;
    end();
    loop_.stop();
    exit_status_ = 1;
    return true;
  }
  signals_ = std::make_unique<Signals>(loop_, *this);
  loop_.timers().arm(tick_, kTickMs);
  return true;
}

void Control::start_workers(const conf::Model& model) {
  const std::size_t limit = raise_descriptor_limit();
  const std::size_t count = model.threads != 0 ? model.threads : usable_cpus();
  const std::size_t taken = open_descriptors() + kDescriptorReserve + 8 * count;
  const std::size_t budget = limit > taken + 8 * count ? (limit - taken) / count : 8;
  for (std::size_t i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(
        Worker::Setup{i, budget, metrics_.add_shard(), access_log_.add_buffer(), *this}));
  }
  for (auto& worker : workers_)
    worker->start();
  base::log(LogLevel::info, "proxy", "{} data-plane threads, {} descriptors each", count, budget);
}

// The access log first: when it cannot be opened nothing has changed.
bool Control::apply_logging(const conf::Model& model, std::string& why) {
  const auto path = [](const conf::Output& output) -> std::string {
    switch (output.kind) {
      case conf::OutputKind::standard_error:
        return "stderr";
      case conf::OutputKind::standard_output:
        return "stdout";
      case conf::OutputKind::file:
        return output.path;
    }
    return "stderr";
  };
  base::LogSettings settings;
  settings.level = static_cast<LogLevel>(model.log.level);
  settings.json = model.log.format == conf::LogFormat::json;
  settings.output = path(model.log.output);
  if (!access_log_.configure(model.access_log, why)) {
    why = "access_log: " + why;
    return false;
  }
  if (!base::start_log(settings, why)) {
    why = "log: " + why;
    return false;
  }
  return true;
}

// ---- from the workers' threads ----

void Control::on_generation_applied(std::size_t /*worker*/, std::uint64_t number) {
  loop_.post([this, number] { on_applied(number); });
}

void Control::on_generation_unused(SharedGeneration generation) {
  loop_.post([held = std::move(generation)]() mutable { held.reset(); });
}

void Control::on_suspect(const SharedMember& member) {
  loop_.post([this, member] { prober_.on_suspect(member.get()); });
}

void Control::on_drained(std::size_t /*worker*/) {
  loop_.post([this] { on_worker_ended(); });
}

void Control::wake_worker(std::size_t worker) {
  if (worker < workers_.size()) workers_[worker]->wake_waiters();
}

// A member more: whoever waits for one that is full may go there.
void Control::wake_waiters() {
  for (auto& worker : workers_)
    worker->wake_waiters();
}

void Control::wake_doors() {
  for (auto& worker : workers_)
    worker->resume_doors();
}

// ---- probes ----

void Control::on_transition(const health::Member& member, const health::StateChange& change) {
  const bool good = change.to == health::MemberState::up;
  base::log(good ? LogLevel::info : LogLevel::warn, "health", "pool {}: {} is {} (was {}): {}",
            member.pool, member.name, health::name_of(change.to), health::name_of(change.from),
            change.reason);
  if (good) wake_waiters();
  auto& transitions = tallies_[member.metrics_id].transitions;
  const auto known = std::find_if(transitions.begin(), transitions.end(), [&](const auto& each) {
    return each.to == change.to && each.reason == change.cause;
  });
  if (known != transitions.end()) {
    ++known->count;
  } else {
    transitions.push_back({change.to, change.cause, 1});
  }
}

void Control::on_probe_done(const health::Member& member,
                            const health::CheckResult& result,
                            std::uint64_t duration_ns) {
  if (result.verdict == health::Verdict::unjudged) return;
  ProbeTally& tally = tallies_[member.metrics_id];
  const health::ProbeStatus* known = prober_.status_of(member);
  tally.check = known != nullptr && known->kind == conf::ProbeKind::http ? "http" : "tcp";
  if (result.verdict == health::Verdict::good) {
    ++tally.passed;
  } else {
    ++tally.failed;
  }
  tally.duration.observe(duration_ns);
}

// ---- signals and the end ----

void Control::on_signal(int number) {
  switch (number) {
    case SIGHUP:
      request_reload("SIGHUP");
      return;
    case SIGUSR1:
      base::reopen_log();
      access_log_.reopen();
      base::log(LogLevel::info, "proxy", "logs reopened");
      return;
    case SIGUSR2:
      base::log(LogLevel::warn, "proxy", "SIGUSR2: the hand-over to a new binary is not built yet");
      return;
    case SIGQUIT:
      dump_state();
      end_now();
      return;
    default:  // TERM, INT
      if (state_ == State::starting || state_ == State::ready) {
        base::log(LogLevel::info, "proxy", "stopping: {}",
                  number == SIGTERM ? "SIGTERM" : "SIGINT");
        begin_stop();
      } else {
        base::log(LogLevel::warn, "proxy", "second signal: ending at once");
        end_now();
      }
  }
}

void Control::begin_stop() {
  state_ = State::announcing;
  const std::uint64_t announce = current_ ? ms(current_->model->shutdown.announce) : 0;
  if (announce > 0) {
    loop_.timers().arm(stop_deadline_, announce);
  } else {
    begin_drain();
  }
}

void Control::begin_drain() {
  state_ = State::draining;
  prober_.stop();
  for (auto& worker : workers_)
    worker->drain();
  const std::uint64_t drain = current_ ? ms(current_->model->shutdown.drain) : 0;
  loop_.timers().arm(stop_deadline_, drain);
}

void Control::end_now() {
  if (state_ == State::ended) return;
  state_ = State::draining;
  prober_.stop();
  for (auto& worker : workers_)
    worker->shut_down();
}

void Control::on_worker_ended() {
  if (++workers_ended_ == workers_.size()) end();
}

// Every worker has ended: nothing keeps the loop any more.
void Control::end() {
  if (state_ == State::ended) return;
  const bool workers_run = workers_ended_ < workers_.size();
  state_ = State::ended;
  if (workers_run) {
    for (auto& worker : workers_)
      worker->shut_down();
  }
  tick_.disarm();
  stop_deadline_.disarm();
  first_round_.disarm();
  prober_.stop();
  if (signals_) signals_->stop();
  if (files_) files_->stop();
  if (admin_) admin_->stop();
  loop_.stop();
}

void Control::on_tick() {
  if (metrics_.registry().forget_old(base::monotonic_ns() / 1'000'000)) compact_metrics();
  loop_.timers().arm(tick_, kTickMs);
}

void Control::compact_metrics() {
  // Each thread swaps its own memory; the old one is freed here, by its only reader.
  const auto live = std::make_shared<const MetricsRegistry::Live>(metrics_.registry().live());
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    MetricsShard* shard = metrics_.shards()[i].get();
    workers_[i]->loop().post([this, shard, live] {
      loop_.post([retired = shard->compact(*live)]() mutable { retired.reset(); });
    });
  }
  std::erase_if(tallies_, [&](const auto& tally) {
    return metrics_.registry().member(tally.first) == nullptr;
  });
}

void Control::dump_state() const {
  const StatusView view = status();
  base::log(LogLevel::warn, "proxy", "state {}, generation {} ({} alive), {} client connections",
            view.state, view.generation, view.generations_alive, view.connections);
  for (const PoolView& pool : pools()) {
    for (const MemberView& member : pool.members) {
      base::log(LogLevel::warn, "proxy", "pool {} member {}: {}, {} in flight, {} connections",
                pool.name, member.name, member.state, member.in_flight, member.connections);
    }
  }
}

}  // namespace portunus::proxy
