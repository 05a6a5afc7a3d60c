// How the supervisor begins, and what it does for a reload: both follow a plan.
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "supervisor/paths.h"
#include "supervisor/service_commands.h"
#include "supervisor/supervisor.h"

namespace portunus::supervisor {
namespace {

using base::LogLevel;

// Lines of the log that may wait: each place takes half a KiB of a small process.
constexpr std::size_t kLogLines = 512;

// Files are opened and made as that user would: the proxy writes to the same log, and may do in its
// folder what it likes. For this thread.
class AsUser {
 public:
  explicit AsUser(const std::optional<Identity>& identity) : is_other_(identity.has_value()) {
    if (!is_other_) return;
    ::setfsgid(identity->gid);
    ::setfsuid(identity->uid);
  }
  ~AsUser() {
    if (!is_other_) return;
    ::setfsuid(::geteuid());
    ::setfsgid(::getegid());
  }
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;

 private:
  bool is_other_;
};

}  // namespace

// ---- start ----

void Supervisor::on_plan(Plan plan) {
  if (state_ == State::planning) {
    std::string why;
    if (!begin(std::move(plan), why)) give_up(why);
    return;
  }
  if (std::exchange(is_upgrading_, false)) {
    may_execute_ = plan.resume_version == kResumeVersion;
    start_next();
    return;
  }
  if (plan.hash != wanted_hash_) {
    answer_prepare(false, "the files have changed while they were read");
    return;
  }
  plan.threads = plan_.threads;  // changes with the next start
  std::string why;
  std::optional<Identity> identity;
  if (!find_user(plan, identity, why) || !make_own_folders(plan, identity, why) ||
      !listeners_.prepare(wanted(plan), why)) {
    answer_prepare(false, why);
    return;
  }
  next_plan_ = std::move(plan);
  answer_prepare(true, {});
}

void Supervisor::on_plan_failed(const std::string& why) {
  if (state_ == State::planning) {
    give_up(why);
  } else if (std::exchange(is_upgrading_, false)) {
    refuse_upgrade(why.empty() ? "the new program refuses the configuration; the log says why"
                               : "the new program does not run: " + why);
  } else {
    answer_prepare(false, why.empty() ? "the configuration is not valid" : why);
  }
}

void Supervisor::give_up(const std::string& why) {
  if (!why.empty()) base::log(LogLevel::error, "supervisor", "cannot start: {}", why);
  exit_status_ = 1;
  state_ = State::ended;
}

bool Supervisor::begin(Plan plan, std::string& why) {
  plan_ = std::move(plan);
  if (!find_user(plan_, identity_, why) || !open_log(plan_, why) ||
      !make_own_folders(plan_, identity_, why)) {
    return false;
  }
  const std::vector<WantedListener> listeners = wanted(plan_);
  if (!listeners_.prepare(listeners, why)) return false;
  listeners_.commit();
  std::vector<net::Address> addresses;
  addresses.reserve(listeners.size());
  for (const WantedListener& listener : listeners)
    addresses.push_back(listener.address);
  for (const net::Address& other : inherited_.others(addresses)) {
    base::log(LogLevel::warn, "supervisor", "LISTEN_FDS: {} is no listener of the configuration",
              other.text());
  }
  commands_->open(state_folder(plan_.state, options_.config_file));
  keeper_->open(state_folder(plan_.state, options_.config_file));
  state_ = State::starting;
  if (notifier_.alive_every_ms() > 0) watchdog_->arm(notifier_.alive_every_ms());
  enter_cgroup();
  make_logs_folder();
  return start_proxy(why);
}

bool Supervisor::find_user(const Plan& plan, std::optional<Identity>& found, std::string& why) {
  if (plan.user.empty()) {
    found.reset();
    return true;
  }
  auto identity = find_identity(plan.user);
  if (!identity) {
    why = "user: " + identity.error();
    return false;
  }
  if (::geteuid() == 0) {
    found = std::move(*identity);  // what was known stays when it cannot be found
  } else if (::geteuid() != identity->uid) {
    why = "user: only root can change to " + plan.user;
    return false;
  }
  return true;
}

// What the proxy keeps for itself: it may be another user, then owns that folder, and passes through
// ours without seeing what is in it.
bool Supervisor::make_own_folder(const std::string& above,
                                 const std::string& folder,
                                 const std::optional<Identity>& identity,
                                 std::string& why) {
  for (const std::string& each : {above, folder}) {
    if (const auto made = make_folder(each); !made) {
      why = made.error();
      return false;
    }
  }
  if (!identity) return true;
  const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  const bool is_theirs = opened >= 0 && ::fchown(opened, identity->uid, identity->gid) == 0 &&
                         ::chmod(above.c_str(), 0711) == 0;
  if (!is_theirs) why = folder + ": " + strerrordesc_np(errno);
  if (opened >= 0) ::close(opened);
  return is_theirs;
}

// Without its authority the proxy cannot serve; without a key that lasts, cookies are forgotten, which
// the proxy says.
bool Supervisor::make_own_folders(const Plan& plan,
                                  const std::optional<Identity>& identity,
                                  std::string& why) const {
  const std::string above = state_folder(plan.state, options_.config_file);
  std::string ignored;
  if (plan.has_sticky_key)
    static_cast<void>(make_own_folder(above, sticky_folder(above), identity, ignored));
  if (plan.has_discovery)
    static_cast<void>(make_own_folder(above, discovery_folder(above), identity, ignored));
  if (!plan.has_authority || make_own_folder(above, tls_folder(above), identity, why)) return true;
  why = "tls: internal: " + why;
  return false;
}

bool Supervisor::open_log(const Plan& plan, std::string& why) {
  base::LogSettings settings;
  settings.queue_lines = kLogLines;
  settings.level = static_cast<LogLevel>(plan.log.level);
  settings.json = plan.log.format == conf::LogFormat::json;
  if (plan.log.output.kind == conf::OutputKind::standard_output) settings.output = "stdout";
  if (plan.log.output.kind == conf::OutputKind::file) {
    settings.output = plan.log.output.path;
  }
  const AsUser user(identity_);
  if (base::start_log(settings, why)) return true;
  why = "log: " + why;
  return false;
}

void Supervisor::reopen_logs() {
  {
    const AsUser user(identity_);
    base::reopen_log();
  }
  const Message order(Kind::reopen_logs);
  if (proxy_) proxy_->send(order);
  if (next_) next_->send(order);
  for (const auto& each : retiring_)
    each->send(order);
}

std::vector<WantedListener> Supervisor::wanted(const Plan& plan) const {
  std::vector<WantedListener> listeners;
  listeners.reserve(plan.listeners.size() + 1);
  for (const PlannedListener& planned : plan.listeners)
    listeners.push_back({planned.what, net::Address::parse(planned.address), plan.threads});
  if (!plan.admin.empty()) listeners.push_back({"admin", net::Address::parse(plan.admin), 1});
  return listeners;
}

// ---- reload ----

void Supervisor::on_prepare(ProxyProcess& proxy, const std::string& hash) {
  if (asker_ == &proxy && reader_->is_running()) return;  // it waits for an answer already
  // One that drains has nothing to reload.
  const bool is_its_turn = next_ ? &proxy == next_.get() : &proxy == proxy_.get() && !is_upgrading_;
  if (!is_its_turn) {
    owes_reload_ = owes_reload_ || &proxy == proxy_.get();
    proxy.send(Message(Kind::prepared, "an upgrade is under way"));
    return;
  }
  asker_ = &proxy;
  wanted_hash_ = hash;
  listeners_.abandon();
  next_plan_.reset();
  reader_->start(options_.program, options_.config_file, false);
}

void Supervisor::answer_prepare(bool is_good, const std::string& why) {
  if (asker_ == nullptr) return;
  // Those that are new, in packets that hold them.
  const std::vector<OpenSocket>& fresh = listeners_.fresh();
  for (std::size_t at = 0; at < fresh.size(); at += Channel::kDescriptorsMax) {
    Message message(Kind::sockets);
    std::vector<int> descriptors;
    for (std::size_t i = at; i < std::min(fresh.size(), at + Channel::kDescriptorsMax); ++i) {
      message.addresses.push_back(fresh[i].address.text());
      descriptors.push_back(fresh[i].descriptor);
    }
    asker_->send(message, descriptors);
  }
  Message answer(Kind::prepared, why);
  answer.is_good = is_good;
  asker_->send(answer);
}

// The proxy runs on it.
void Supervisor::apply_plan() {
  asker_ = nullptr;
  if (is_execution_due_) execution_->arm(0);
  if (!next_plan_) return;
  listeners_.commit();
  const bool has_other_log = next_plan_->log != plan_.log;
  std::string hash = std::exchange(next_plan_->hash, plan_.hash);
  if (*next_plan_ != plan_) ++plan_number_;
  plan_ = std::move(*next_plan_);
  plan_.hash = std::move(hash);
  next_plan_.reset();
  std::string why;
  make_logs_folder();
  if (!find_user(plan_, identity_, why) || (has_other_log && !open_log(plan_, why))) {
    base::log(LogLevel::error, "supervisor", "{}", why);
  }
  services_->apply(plan_.services);
}

}  // namespace portunus::supervisor
