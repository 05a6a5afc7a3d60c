#include "supervisor/supervisor.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "supervisor/backoff.h"
#include "supervisor/code_pages.h"

namespace portunus::supervisor {
namespace {

using base::LogLevel;

// After the first crash at once; a proxy that has run this long starts from there again.
constexpr std::uint64_t kHealthyNs = 30'000'000'000;
constexpr std::uint64_t kBackoffMinMs = 100;
constexpr std::uint64_t kBackoffMaxMs = 10'000;
// Open files: fewer are not enough for a proxy, and no more than these are for services to inherit
// than there are already. The proxy takes what it may by itself.
constexpr rlim_t kDescriptorsMin = 48;
constexpr rlim_t kDescriptors = 1024;
constexpr std::size_t kHashMax = 64;
// Beyond announce and drain, a proxy that stops gets this long.
constexpr std::uint64_t kStopMs = 10'000;

double chance() {
  static std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<double>{0, 1}(engine);
}

std::string describe(Exit exit) {
  if (exit.signal == 0) return "ended with status " + std::to_string(exit.status);
  const char* const name = sigabbrev_np(exit.signal);
  return "was ended by SIG" + std::string(name == nullptr ? "?" : name);
}

}  // namespace

std::string path_of_program(const char* called_as) {
  std::array<char, 4096> path;
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : called_as;
}

int run_supervisor(const SupervisorOptions& options) {
  hold_signals();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kDescriptors) {
    limit.rlim_cur = std::min(limit.rlim_max, kDescriptors);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < kDescriptorsMin) {
      std::fprintf(
          stderr,
          "portunus: cannot start: the limit of open files is %ju, and at least %ju are needed "
          "(ulimit -n, LimitNOFILE=)\n",
          static_cast<std::uintmax_t>(limit.rlim_cur),
          static_cast<std::uintmax_t>(kDescriptorsMin));
      return 1;
    }
  }
  Supervisor supervisor(options);
  return supervisor.run();
}

Supervisor::Supervisor(SupervisorOptions options)
    : options_(std::move(options)), listeners_(inherited_) {
  CHECK(uv_loop_init(&loop_) == 0);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  signals_ = std::make_unique<Signals>(loop_, *this);
  reader_ = std::make_unique<PlanReader>(loop_, reaper_, *this);
  restart_ = std::make_unique<Timer>(
      loop_, this, [](void* self) { static_cast<Supervisor*>(self)->restart_proxy(); });
  watchdog_ = std::make_unique<Timer>(
      loop_, this, [](void* self) { static_cast<Supervisor*>(self)->on_watchdog(); });
  upgrade_due_ = std::make_unique<Timer>(loop_, this, [](void* self) {
    static_cast<Supervisor*>(self)->fail_upgrade("it is not ready in time");
  });
  execution_ = std::make_unique<Timer>(
      loop_, this, [](void* self) { static_cast<Supervisor*>(self)->execute(); });
  burial_ = std::make_unique<Timer>(
      loop_, this, [](void* self) { static_cast<Supervisor*>(self)->bury_retired(); });
  calm_ = std::make_unique<Timer>(loop_, this, [](void* /*self*/) { release_code_pages(); });
  keeper_ = std::make_unique<MemberKeeper>(loop_);
  lines_ = std::make_unique<ServiceLines>(loop_);
  surroundings_.lines = lines_.get();
  services_ = std::make_unique<Services>(surroundings_, *this);
  news_ = std::make_unique<ServiceNews>(loop_, *services_, *this);
  commands_ = std::make_unique<ServiceCommands>(loop_, *services_, *this);
  patience_ = std::make_unique<Timer>(
      loop_, this, [](void* self) { static_cast<Supervisor*>(self)->on_patience(); });
}

Supervisor::~Supervisor() {
  // Their handles close on the loop.
  proxy_.reset();
  next_.reset();
  retiring_.clear();
  upgrade_due_.reset();
  burial_.reset();
  calm_.reset();
  execution_.reset();
  keeper_.reset();
  commands_.reset();
  news_.reset();
  services_.reset();
  lines_.reset();
  reader_.reset();
  restart_.reset();
  watchdog_.reset();
  patience_.reset();
  signals_->stop();
  uv_run(&loop_, UV_RUN_DEFAULT);
  uv_loop_close(&loop_);
}

int Supervisor::run() {
  if (!signals_->is_open()) {
    base::log(LogLevel::error, "supervisor", "cannot start: out of file descriptors");
    return 1;
  }
  for (const std::string& problem : inherited_.problems())
    base::log(LogLevel::warn, "supervisor", "LISTEN_FDS: {}", problem);
  if (options_.resume < 0) {
    reader_->start(options_.program, options_.config_file, true);
  } else if (!resume()) {
    return 1;
  }
  while (state_ != State::ended)
    uv_run(&loop_, UV_RUN_ONCE);
  reaper_.kill_strays();
  base::stop_log();
  return exit_status_;
}

// ---- the proxy ----

// A file that has taken the program's place has its turn with an upgrade, which looks whether it runs
// at all: a crash does not bring it in. This process's own file is there as long as it runs.
std::string Supervisor::program_to_start() const {
  constexpr const char* kOwn = "/proc/self/exe";
  if (is_proxy_newer_) return options_.program;
  struct stat now{};
  struct stat own{};
  const bool is_same = ::stat(options_.program.c_str(), &now) == 0 && ::stat(kOwn, &own) == 0 &&
                       now.st_dev == own.st_dev && now.st_ino == own.st_ino;
  if (is_same) return options_.program;
  base::log(LogLevel::warn, "supervisor",
            "{} is not the program that runs: the proxy is started from the one that does, and "
            "`portunus upgrade` takes the other",
            options_.program);
  return kOwn;
}

bool Supervisor::start_proxy(std::string& why) {
  if (!is_user_known()) {
    why = "user: " + plan_.user + " is not known";
    return false;
  }
  proxy_ = std::make_unique<ProxyProcess>(loop_, reaper_, *this);
  const bool is_started = proxy_->start(
      {program_to_start(), options_.config_file, plan_.threads, listeners_.sockets(), identity_,
       good_files_.descriptor(), keeper_->descriptor(),
       good_files_.source() == GoodFiles::Source::settled ? good_files_.tried_us() : 0, state()},
      members(), why);
  if (is_started) news_->tell_all();
  return is_started;
}

void Supervisor::restart_proxy() {
  if (state_ == State::stopping || state_ == State::ended) return;
  ++restarts_;
  std::string why;
  if (start_proxy(why)) return;
  base::log(LogLevel::error, "supervisor", "the proxy cannot be started: {}", why);
  schedule_restart();
}

void Supervisor::schedule_restart() {
  const std::uint64_t pause = backoff_ms(crashes_, kBackoffMinMs, kBackoffMaxMs, chance());
  ++crashes_;
  base::log(LogLevel::warn, "supervisor", "the proxy is started again in {} ms", pause);
  restart_->arm(pause);
}

void Supervisor::on_proxy_files(ProxyProcess& proxy,
                                conf::SealedFiles files,
                                const Message& message) {
  if (&proxy != proxy_.get() || !files.is_sealed() || message.text.size() > kHashMax) return;
  good_files_.take({std::move(files), message.text, plan_number_}, message.is_good,
                   base::monotonic_ns());
}

// The files come first, at every start. Whatever kept the proxy from starting on them, with those of
// the last one that ran it goes; and it does not go on for ever with what ends it.
void Supervisor::choose_files() {
  const GoodFiles::Run run{proxy_->has_been_ready(), proxy_->started_ns(), proxy_->started_us()};
  const GoodFiles::Source before = good_files_.source();
  const GoodFiles::Source now = good_files_.on_crash(run, plan_number_, base::monotonic_ns());
  if (now == GoodFiles::Source::settled && before != now) {
    base::log(
        LogLevel::error, "supervisor",
        "the configuration as it is now has ended the proxy again and again: it is started on "
        "the last one that was good, and stays there until the files change");
  }
  if (now != GoodFiles::Source::last_good) {
    schedule_restart();
    return;
  }
  base::log(
      LogLevel::error, "supervisor",
      "the proxy cannot start on the configuration as it is now: it is started on the last one "
      "that was good");
  restart_->arm(0);
}

void Supervisor::on_proxy_exit(ProxyProcess& proxy, Exit exit) {
  if (asker_ == &proxy) {
    asker_ = nullptr;
    listeners_.abandon();
    next_plan_.reset();
    reader_->cancel();
  }
  if (&proxy != proxy_.get()) {
    on_retired(proxy, exit);
    settle_drains();
    return;
  }
  settle_drains();
  switch (state_) {
    case State::planning:
    case State::ended:
      return;
    case State::starting:
      // It has said why, unless a signal ended it.
      give_up(exit.signal != 0 ? "the proxy " + describe(exit) : "");
      return;
    case State::stopping:
      end_when_empty();
      return;
    case State::running:
      base::log(LogLevel::error, "supervisor", "the proxy {}", describe(exit));
      if (base::monotonic_ns() - proxy_->started_ns() > kHealthyNs) crashes_ = 0;
      choose_files();  // also while an upgrade's proxy starts: that may take its time, or hang
  }
}

void Supervisor::on_proxy_message(ProxyProcess& proxy, const Message& message) {
  switch (message.kind) {
    case Kind::ready:
      if (&proxy == next_.get()) promote();
      if (&proxy == proxy_.get()) on_ready(message.text);
      return;
    case Kind::reloading:
      notifier_.reloading();
      return;
    case Kind::prepare:
      on_prepare(proxy, message.text);
      return;
    case Kind::applied:
      if (&proxy == asker_) apply_plan();
      proxy.send(Message(Kind::settled));
      return;
    case Kind::abandoned:
      if (&proxy != asker_) return;
      asker_ = nullptr;
      if (is_execution_due_) execution_->arm(0);
      listeners_.abandon();
      next_plan_.reset();
      return;
    case Kind::health:
      if (&proxy == proxy_.get()) on_health(message);
      return;
    case Kind::drained:
      on_drained(proxy, message);
      return;
    case Kind::order:
      if (&proxy == proxy_.get()) on_order(proxy, message);
      return;
    case Kind::requests:
      if (&proxy == proxy_.get()) on_requests(message);
      return;
    case Kind::stopping:  // by a signal of its own: its end restarts it
      if (state_ == State::running && &proxy == proxy_.get()) {
        base::log(LogLevel::warn, "supervisor", "the proxy (process {}) stops by itself",
                  proxy.pid());
      }
      return;
    default:
      return;
  }
}

void Supervisor::on_ready(const std::string& status) {
  if (is_execution_due_) execution_->arm(0);
  if (state_ == State::stopping) return;
  if (state_ == State::starting) {
    state_ = State::running;
    services_->apply(plan_.services);
  } else if (state_ == State::running && restarts_ > 0 && crashes_ > 0) {
    const std::uint64_t ms = (base::monotonic_ns() - proxy_->started_ns()) / 1'000'000;
    base::log(LogLevel::info, "supervisor", "the proxy serves again, {} ms after its start", ms);
  }
  notifier_.ready(status);
  release_code_pages();
}

// ---- signals and the end ----

void Supervisor::on_signal(int number) {
  switch (number) {
    case SIGCHLD:
      reaper_.reap();
      return;
    case SIGHUP:
      if (proxy_) proxy_->send(Message(Kind::reload, "SIGHUP"));
      return;
    case SIGUSR1:
      reopen_logs();
      return;
    case SIGUSR2:
      if (const auto begun = upgrade(); !begun) return;  // the log has said why
      return;
    case SIGQUIT:
      end_at_once(Kind::dump);
      return;
    default:
      begin_stop(number == SIGTERM ? "SIGTERM" : "SIGINT");
  }
}

void Supervisor::begin_stop(const char* why) {
  if (state_ == State::planning) {
    state_ = State::ended;
    return;
  }
  if (state_ == State::stopping) {
    base::log(LogLevel::warn, "supervisor", "second signal: ending at once");
    end_at_once(Kind::stop);
    return;
  }
  state_ = State::stopping;
  commands_->refuse_changes();
  base::log(LogLevel::info, "supervisor", "stopping: {}", why);
  notifier_.stopping();
  restart_->disarm();
  listeners_.close_all();  // before the proxy closes its own: what waits is accepted by it
  abandon_upgrade();
  if (proxy_) proxy_->send(Message(Kind::stop, why));
  patience_->arm(plan_.announce_ms + plan_.drain_ms + kStopMs);
  end_when_empty();
}

void Supervisor::end_at_once(Kind how) {
  if (state_ != State::stopping) {
    state_ = State::stopping;
    commands_->refuse_changes();
    restart_->disarm();
    listeners_.close_all();
  }
  abandon_upgrade();
  for (const auto& each : retiring_)
    each->send(Message(how, "a second signal"));
  if (proxy_) proxy_->send(Message(how, "a second signal"));
  is_hasty_ = true;
  patience_->arm(kStopMs);
  end_when_empty();
}

void Supervisor::on_patience() {
  if (proxy_ && proxy_->is_running()) {
    base::log(LogLevel::error, "supervisor", "the proxy does not end: it is killed");
    proxy_->kill();
  }
  for (const auto& each : retiring_)
    each->kill();
}

// First the proxy, whose requests need the replicas; then those.
void Supervisor::end_when_empty() {
  if (state_ != State::stopping) return;
  const auto is_running = [](const auto& each) {
    return each && each->is_running();
  };
  if (is_running(proxy_) || is_running(next_) || std::ranges::any_of(retiring_, is_running)) return;
  if (is_hasty_) {
    services_->kill_all();
  } else {
    services_->stop();
  }
}

void Supervisor::on_all_stopped() {
  if (state_ != State::stopping) return;
  keeper_->flush();
  base::log(LogLevel::info, "supervisor", "stopped");
  state_ = State::ended;
}

void Supervisor::on_watchdog() {
  notifier_.alive();
  watchdog_->arm(notifier_.alive_every_ms());
}

}  // namespace portunus::supervisor
