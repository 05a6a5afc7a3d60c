#include "proxy/control.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "base/check.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "proxy/admin.h"
#include "proxy/load_job.h"
#include "proxy/orphan_alarm.h"
#include "proxy/process.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

constexpr std::uint64_t kMinuteMs = 60'000;
// Descriptors that are not clients or members: log files, probes, the admin's.
constexpr std::size_t kDescriptorReserve = 16;
// Of each thread: its loop's and listeners', and those of clients and members that make it of any use.
constexpr std::size_t kDescriptorsOfThread = 8;
constexpr std::size_t kSocketsMin = 8;
// With fewer, not even the loop of the control thread could be trusted to be made.
constexpr std::size_t kDescriptorsMin = 48;

}  // namespace

int run_proxy(const RunOptions& options) {
  base::forbid_dumps();
  supervisor::hold_signals();
  if (options.channel >= 0) install_orphan_alarm();
  if (const std::size_t limit = raise_descriptor_limit(); limit < kDescriptorsMin) {
    std::fprintf(
        stderr,
        "portunus: cannot start: the limit of open files is %zu, and at least %zu are needed "
        "(ulimit -n, LimitNOFILE=)\n",
        limit, kDescriptorsMin);
    return 1;
  }
  Control control(options);
  return control.run();
}

Control::Control(const RunOptions& options)
    : options_(options),
      builder_(metrics_.registry()),
      tls_(loop_, *builder_.tickets()),
      staples_(loop_, *this),
      revocations_(*this),
      prober_(loop_, *this),
      judge_(loop_, *this),
      fetcher_(loop_),
      consul_(loop_, fetcher_, *this),
      link_(loop_, notifier_, options.channel, *this),
      replicas_(link_),
      service_orders_(loop_, link_),
      answer_due_(this, [](void* self) { static_cast<Control*>(self)->on_answer_late(); }),
      first_round_(this,
                   [](void* self) {
                     auto* control = static_cast<Control*>(self);
                     control->awaits_lists_ = false;
                     control->on_first_round_done();
                   }),
      memory_due_(this, [](void* self) { static_cast<Control*>(self)->tell_memory(); }),
      slow_start_due_(this, [](void* self) { static_cast<Control*>(self)->look_at_slow_start(); }),
      concurrency_due_(this,
                       [](void* self) { static_cast<Control*>(self)->look_at_concurrency(); }),
      started_us_(base::wall_us()),
      tick_(this, [](void* self) { static_cast<Control*>(self)->on_tick(); }),
      stop_deadline_(this,
                     [](void* self) {
                       auto* control = static_cast<Control*>(self);
                       if (control->state_ == State::announcing) {
                         control->begin_drain();
                       } else {
                         control->end_now();
                       }
                     }),
      alive_due_(this, [](void* self) { static_cast<Control*>(self)->on_alive_due(); }) {}

Control::~Control() = default;

int Control::run() {
  if (!start()) {
    base::stop_log();
    return 1;
  }
  loop_.run();
  for (auto& worker : workers_)
    worker->join();
  passwords_.stop();
  access_log_.stop();
  current_.reset();
  lists_.clear();
  workers_.clear();
  base::log(LogLevel::info, "proxy", "stopped");
  base::stop_log();
  return exit_status_;
}

conf::LoadResult Control::load_first() {
  conf::LoadOptions load{.keeps_copy = link_.is_supervised(),
                         .certificates = &tls_.cache(),
                         .is_for_root = ::geteuid() == 0};
  const conf::SealedFiles copy(options_.files);
  const auto kept = copy.is_set() ? copy.read() : std::nullopt;
  if (kept) load.instead = &*kept;
  runs_on_copy_ = kept.has_value();
  return conf::load_file(options_.config_file, load);
}

bool Control::start() {
  conf::LoadResult loaded = load_first();
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
  for (const std::string& problem : inherited_.problems())
    base::log(LogLevel::warn, "proxy", "LISTEN_FDS: {}", problem);
  if (!start_workers(*loaded.model)) return false;
  set_member_events(&replicas_);
  link_.wait_for_first();
  const net::Loop::Turn turn(loop_);
  if (!runs_on_copy_) {
    note_seen(loaded);
  } else {  // until note_copy()
    seen_files_ = loaded.files;
    seen_files_.insert(seen_files_.end(), loaded.folders.begin(), loaded.folders.end());
  }
  is_reloading_ = true;
  reload_began_ns_ = base::monotonic_ns();
  files_ = std::make_unique<FileWatch>(loop_, *this);
  admin_ = std::make_unique<Admin>(loop_, *this);
  RouteTable routes = RouteTable::build(*loaded.model);
  supervisor::release_stop_signals();
  ResolvedNames names = resolve_members(*loaded.model);
  supervisor::hold_signals();
  prepare(std::move(loaded), std::move(routes), std::move(names));
  if (!last_reload_ok_) {
    end_failed_start();
    return true;
  }
  signals_ = std::make_unique<supervisor::Signals>(*loop_.uv(), *this);
  if (!signals_->is_open()) base::log(LogLevel::error, "proxy", "no descriptor for signals");
  loop_.timers().arm(tick_, kMinuteMs);
  if (link_.alive_every_ms() > 0) on_alive_due();
  return true;
}

bool Control::start_workers(const conf::Model& model) {
  const std::size_t limit = raise_descriptor_limit();
  // What the supervisor has handed over becomes the threads' own.
  const std::size_t passing = link_.is_supervised() ? inherited_.size() : 0;
  const std::size_t taken = open_descriptors() - passing + kDescriptorReserve;
  const auto needed = [&](std::size_t threads) {
    return taken + threads * (kDescriptorsOfThread + kSocketsMin);
  };
  const std::uint32_t wished = options_.threads != 0 ? options_.threads : model.threads;
  std::size_t count = wished != 0 ? wished : std::min(usable_cpus(), conf::kThreadsMax);
  // Fewer threads than there are CPUs serve better than none.
  while (wished == 0 && count > 1 && needed(count) > limit)
    --count;
  if (needed(count) > limit) {
    base::log(
        LogLevel::error, "proxy",
        "cannot start: {} threads need at least {} open files, and the limit is {} (ulimit -n, "
        "LimitNOFILE=)",
        count, needed(count), limit);
    return false;
  }
  const std::size_t budget = (limit - taken) / count - kDescriptorsOfThread;
  for (std::size_t i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(Worker::Setup{i, budget, metrics_.add_shard(),
                                                              access_log_.add_buffer(), *this,
                                                              passwords_, request_memory_}));
  }
  rounds_taken_.assign(count, round_);
  for (auto& worker : workers_)
    worker->start();
  base::log(LogLevel::info, "proxy", "{} data-plane threads, {} descriptors each", count, budget);
  return true;
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

void Control::on_conduct(const SharedMember& member) {
  loop_.post([this, member] {
    member->conduct.is_told.store(false);  // what comes from now on is told again
    judge_.on_news(member.get());
  });
}

void Control::on_drained(std::size_t worker) {
  loop_.post([this, worker] {
    note_round(worker, kAllRounds);
    on_worker_ended();
  });
}

void Control::give_turn(std::size_t worker, PoolTurn turn) {
  CHECK(worker < workers_.size());
  workers_[worker]->take_turn(std::move(turn));
}

// A member more: whoever waits may go there.
void Control::wake_waiters() {
  for (auto& worker : workers_)
    worker->wake_for_members();
}

void Control::wake_doors() {
  for (auto& worker : workers_)
    worker->resume_doors();
}

// ---- probes ----

void Control::on_transition(const health::Member& member, const health::StateChange& change) {
  note_change();
  judge_.on_verdict(member);
  look_at_last_resort(member);
  if (has_slow_start_ && !slow_start_due_.is_armed()) {
    loop_.timers().arm(slow_start_due_, kSlowStartEveryMs);
  }
  if (std::string_view(change.cause) == "off") tell_health(member);
  // The probes' verdict about one that drains: it is told when that counts again.
  if (member.state.load(std::memory_order_relaxed) != change.to) return;
  const bool good = change.to == health::MemberState::up;
  const bool has_pool = member.metrics_id != 0;
  base::log(good ? LogLevel::info : LogLevel::warn, "health", "{}{}: {} is {} (was {}): {}",
            has_pool ? "pool " : "", member.pool, member.name, health::name_of(change.to),
            health::name_of(change.from), change.reason);
  if (good) wake_waiters();
  if (has_pool) count_transition(member, change);
}

void Control::count_transition(const health::Member& member, const health::StateChange& change) {
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

void Control::on_suspicion_ended(const health::Member& /*member*/) {
  wake_waiters();
}

void Control::on_probe_done(const health::Member& member,
                            const health::CheckResult& result,
                            std::uint64_t duration_ns) {
  if (result.verdict != health::Verdict::unjudged || result.is_late) tell_health(member);
  if (result.verdict == health::Verdict::unjudged) return;
  if (member.metrics_id == 0) return;  // of a service without a pool
  ProbeTally& tally = tallies_[member.metrics_id];
  const health::ProbeStatus* known = prober_.status_of(member);
  if (known != nullptr) tally.check = health::name_of(known->kind);
  if (result.verdict == health::Verdict::good) {
    ++tally.passed;
  } else {
    ++tally.failed;
  }
  tally.duration.observe(duration_ns);
}

// ---- metrics ----

void Control::on_tick() {
  renew_internal();
  if (current_)
    revocations_.look(*current_->model, static_cast<std::int64_t>(base::wall_us() / 1'000'000));
  if (revocations_.is_any_bad()) {
    ChangedFiles any;
    any.may_be_any = true;
    on_files_changed(any);
  }
  note_orders();
  if (metrics_.registry().forget_old(base::monotonic_ns() / 1'000'000)) compact_metrics();
  loop_.timers().arm(tick_, kMinuteMs);
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

}  // namespace portunus::proxy
