// Another program in the place of this one, without a gap: its proxy first, then itself
// (supervisor_execute.cc).
#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/supervisor.h"

namespace portunus::supervisor {
namespace {

using base::LogLevel;

constexpr std::uint64_t kReadyMs = 60'000;
// A reload of the new proxy may put the last step off for so long.
constexpr std::uint64_t kReloadNs = 5'000'000'000;

std::string number_of(Exit exit) {
  return exit.signal != 0 ? fmt::format("signal {}", exit.signal)
                          : fmt::format("status {}", exit.status);
}

}  // namespace

// Empty: none.
std::string Supervisor::find_hindrance() const {
  if (state_ == State::stopping) return "the supervisor is stopping";
  if (next_ || is_upgrading_ || is_execution_due_ || execution_->is_armed())
    return "another upgrade is under way";
  if (state_ != State::running || !proxy_ || !proxy_->is_ready()) return "the proxy is not ready";
  return {};
}

std::expected<void, std::string> Supervisor::upgrade() {
  if (const std::string hindrance = find_hindrance(); !hindrance.empty()) {
    base::log(LogLevel::warn, "supervisor", "upgrade: not now: {}", hindrance);
    return std::unexpected("not now: " + hindrance);
  }
  base::log(LogLevel::info, "supervisor", "upgrade: {} is started", options_.program);
  // The new proxy reads the files anyway.
  if (reader_->is_running()) refuse_reload();
  // Whether the new program runs at all, and takes the file, is seen before anything else is done.
  is_upgrading_ = true;
  reader_->start(options_.program, options_.config_file, true);
  return {};
}

// Who asked hears the first reason only.
void Supervisor::refuse_upgrade(const std::string& why) {
  const std::string line = "given up, nothing has changed: " + why;
  base::log(LogLevel::error, "supervisor", "upgrade: {}", line);
  commands_->end_upgrade(std::unexpected(line));
  make_up_for_reload();
}

// An upgrade goes first: a proxy that asks again and again must not keep it off.
void Supervisor::refuse_reload() {
  if (asker_ == nullptr) return;
  owes_reload_ = true;
  reader_->cancel();
  listeners_.abandon();
  next_plan_.reset();
  answer_prepare(false, "an upgrade is under way");
  asker_ = nullptr;
}

void Supervisor::make_up_for_reload() {
  if (next_ || !proxy_ || !std::exchange(owes_reload_, false)) return;
  proxy_->send(Message(Kind::reload, "the end of an upgrade"));
}

void Supervisor::start_next() {
  if (!is_user_known()) {
    refuse_upgrade("user " + plan_.user + " is not known");
    return;
  }
  is_given_up_ = false;
  next_ = std::make_unique<ProxyProcess>(loop_, reaper_, *this);
  std::string why;
  if (!next_->start({options_.program, options_.config_file, plan_.threads, listeners_.sockets(),
                     identity_, -1, keeper_->descriptor(), 0, state()},
                    members(), why)) {
    next_.reset();
    refuse_upgrade(why);
    return;
  }
  commands_->tell_upgrade(fmt::format("process {} of the new program is started", next_->pid()));
  upgrade_due_->arm(kReadyMs);
}

// The new proxy is ready. It accepts from the same sockets already; the other one drains.
void Supervisor::promote() {
  upgrade_due_->disarm();
  restart_->disarm();
  if (asker_ == proxy_.get()) {  // its reload is of no use any more
    asker_ = nullptr;
    listeners_.abandon();
    next_plan_.reset();
    reader_->cancel();
  }
  if (proxy_->is_running() && !proxy_->is_ready()) {  // started anew meanwhile; nobody is at it
    proxy_->kill();
    retiring_.push_back(std::move(proxy_));
  } else if (proxy_->is_running()) {
    proxy_->send(Message(Kind::retire));
    const std::string line =
        fmt::format("process {} serves, {} drains", next_->pid(), proxy_->pid());
    base::log(LogLevel::info, "supervisor", "upgrade: {}", line);
    commands_->tell_upgrade(line);
    retiring_.push_back(std::move(proxy_));
  }
  proxy_ = std::move(next_);
  good_files_.start_anew();
  crashes_ = 0;
  tell_members();
  news_->tell_all();
  owes_reload_ = false;
  if (may_execute_) {
    reload_deadline_ns_ = base::monotonic_ns() + kReloadNs;
    execution_->arm(0);
  } else {
    is_proxy_newer_ = true;
    const char* const line =
        "the supervisor itself stays what it is until the next start: the new program cannot go on "
        "from here";
    base::log(LogLevel::warn, "supervisor", "upgrade: {}", line);
    commands_->tell_upgrade(line);
    commands_->end_upgrade({});
  }
}

void Supervisor::fail_upgrade(const std::string& why) {
  if (!next_) return;
  refuse_upgrade(why);
  is_given_up_ = true;
  next_->kill();
}

// The supervisor stops.
void Supervisor::abandon_upgrade() {
  if (std::exchange(is_upgrading_, false)) reader_->cancel();
  upgrade_due_->disarm();
  if (next_) next_->kill();
  commands_->end_upgrade(std::unexpected("the supervisor is stopping"));
}

void Supervisor::on_retired(const ProxyProcess& proxy, Exit exit) {
  const bool was_next = &proxy == next_.get();
  if (was_next) {
    upgrade_due_->disarm();
    retiring_.push_back(std::move(next_));
    if (state_ == State::running) {
      if (!std::exchange(is_given_up_, false))
        refuse_upgrade("the new proxy ended (" + number_of(exit) + ')');
      if ((!proxy_ || !proxy_->is_running()) && !restart_->is_armed()) schedule_restart();
    }
  } else {
    base::log(LogLevel::info, "supervisor", "the former proxy has ended");
  }
  burial_->arm(0);
  end_when_empty();
}

void Supervisor::bury_retired() {
  std::erase_if(retiring_, [](const auto& proxy) { return !proxy->is_running(); });
}

}  // namespace portunus::supervisor
