// How a configuration becomes the running one: loaded beside it, members probed, published, or
// refused with nothing changed.
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/admin.h"
#include "proxy/control.h"
#include "proxy/load_job.h"
#include "proxy/resolve.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

// New members get this long for their first probe before the generation that names them is used.
constexpr std::uint64_t kFirstRoundMs = 1'000;

std::expected<net::Address, std::string> listening_address(const conf::Address& address) {
  if (!address.host.empty()) return resolve(address.host, address.port);
  // Every local address, IPv4 and IPv6 at once where there is IPv6.
  auto any = net::Address::parse_ip("::", address.port);
  if (auto probe = net::open_listening_socket(*net::Address::parse_ip("::1", 0), false)) {
    ::close(*probe);
    return *any;
  }
  return *net::Address::parse_ip("0.0.0.0", address.port);
}

// A line of the log for each: a person reads them.
void log_lines(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (!line.empty()) base::log(LogLevel::error, "config", "{}", line);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
}

}  // namespace

void Control::reload(ReloadWaiter& waiter) {
  if (state_ != State::ready && state_ != State::starting) {
    waiters_.push_back(&waiter);
    loop_.post([this] {
      ReloadOutcome refused;
      refused.error = "the proxy is stopping";
      refused.generation = current_ ? current_->number : 0;
      for (ReloadWaiter* each : std::exchange(waiters_, {}))
        each->on_reload_done(refused);
    });
    return;
  }
  (is_reloading_ ? next_waiters_ : waiters_).push_back(&waiter);
  request_reload("the admin API");
}

void Control::withdraw(ReloadWaiter& waiter) {
  std::erase(waiters_, &waiter);
  std::erase(next_waiters_, &waiter);
}

void Control::on_files_changed() {
  if (is_reloading_) {
    look_again_ = true;  // what is being read may be what has changed: then nothing comes of it
  } else if (state_ == State::ready) {
    start_loading(true);
  }
}

void Control::request_reload(std::string_view why) {
  if (state_ != State::ready && state_ != State::starting) return;
  if (is_reloading_) {
    reload_again_ = true;  // however many ask meanwhile, one more is enough
    return;
  }
  base::log(LogLevel::info, "config", "reload: asked for by {}", why);
  start_loading(false);
}

void Control::start_loading(bool only_if_changed) {
  is_reloading_ = true;
  reload_began_ns_ = base::monotonic_ns();
  outcome_ = {};
  job_ = std::make_unique<LoadJob>();
  job_->control = this;
  job_->file = options_.config_file;
  job_->only_if_changed = only_if_changed;
  if (only_if_changed) {
    job_->known_files = seen_files_;
    job_->known_hash = seen_hash_;
  }
  job_->work.data = job_.get();
  uv_queue_work(
      loop_.uv(), &job_->work,
      [](uv_work_t* work) {
        auto* job = static_cast<LoadJob*>(work->data);
        job->is_unchanged =
            !job->known_files.empty() && conf::hash_of_files(job->known_files) == job->known_hash;
        if (job->is_unchanged) return;
        job->loaded = conf::load_file(job->file);
        if (!job->loaded.model) return;
        job->routes = RouteTable::build(*job->loaded.model);
        job->names = resolve_members(*job->loaded.model);
      },
      [](uv_work_t* work, int /*status*/) {
        auto* job = static_cast<LoadJob*>(work->data);
        const net::Loop::Turn turn(job->control->loop_);
        job->control->on_loaded(*job);
      });
}

void Control::note_seen(const conf::LoadResult& loaded) {
  seen_hash_ = loaded.hash;
  seen_files_ = loaded.folders.empty() ? loaded.files : std::vector<std::string>{};
}

void Control::on_loaded(LoadJob& job) {
  const std::unique_ptr<LoadJob> held = std::move(job_);
  if (state_ != State::ready && state_ != State::starting) {
    finish_reload(false, "the proxy is stopping");
    return;
  }
  if (job.is_unchanged || (job.only_if_changed && job.loaded.hash == seen_hash_)) {
    end_reload();
    return;
  }
  note_seen(job.loaded);
  outcome_.text = conf::format_text(job.loaded.diagnostics);
  outcome_.diagnostics = conf::format_json(job.loaded.diagnostics);
  if (!job.loaded.model || !job.routes) {
    files_->watch(job.loaded.files, job.loaded.folders);
    finish_reload(false, "the configuration is not valid");
    return;
  }
  prepare(std::move(job.loaded), std::move(*job.routes), job.names);
}

void Control::prepare(conf::LoadResult loaded, RouteTable routes, const ResolvedNames& names) {
  if (!files_->watch(loaded.files, loaded.folders)) {
    base::log(LogLevel::warn, "config", "changes of the files cannot be watched: use SIGHUP");
  }
  auto built = builder_.build(std::move(loaded.model), std::move(routes), names, current_.get());
  if (!built) {
    finish_reload(false, built.error());
    return;
  }
  (*built)->hash = loaded.hash;
  std::string why;
  if (!open_sockets(**built, why)) {
    finish_reload(false, why);
    return;
  }
  if (!open_outputs(*(*built)->model, why)) {
    close_new_sockets();
    finish_reload(false, why);
    return;
  }
  pending_ = std::move(*built);
  set_targets(*pending_);
}

// Admin interface and logs: the last things that can fail, and before anything has changed.
bool Control::open_outputs(const conf::Model& model, std::string& why) {
  if (!admin_->open(model.admin, why)) return false;
  if (!current_) return true;  // the logs have been opened at start
  if (apply_logging(model, why)) return true;
  std::string ignored;  // it was open a moment ago
  static_cast<void>(admin_->open(current_->model->admin, ignored));
  return false;
}

void Control::set_targets(const Generation& generation) {
  std::vector<health::ProbeTarget> targets;
  for (std::size_t i = 0; i < generation.members.size(); ++i) {
    for (const MemberEntry& entry : generation.members[i]->entries) {
      targets.push_back({entry.member, generation.model->pools[i].health});
    }
  }
  is_probing_ = true;
  loop_.timers().arm(first_round_, kFirstRoundMs);
  prober_.set_targets(targets);
}

void Control::on_first_round_done() {
  if (!is_probing_) return;
  is_probing_ = false;
  first_round_.disarm();
  if (state_ == State::ready || state_ == State::starting) {
    apply_pending();
  } else {
    close_new_sockets();
    pending_.reset();
    finish_reload(false, "the proxy is stopping");
  }
}

// Binds what is new, for every worker; all or nothing.
bool Control::open_sockets(const Generation& generation, std::string& why) {
  const std::vector<conf::Listener>& wanted = generation.model->listeners;
  pending_sockets_.assign(workers_.size(), std::vector<int>(wanted.size(), -1));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto is_same = [&](const conf::Listener& open) {
      return open.address == wanted[i].address;
    };
    const auto shares_port = [&](const conf::Listener& open) {
      return open.address.port == wanted[i].address.port;
    };
    bool may_share = false;
    if (current_) {
      const auto& open = current_->model->listeners;
      if (std::any_of(open.begin(), open.end(), is_same)) continue;
      may_share = std::any_of(open.begin(), open.end(), shares_port);
    }
    const auto failed = [&](const std::string& reason) {
      why = "listener " + wanted[i].name + " (" + wanted[i].declared_at + "): " + reason;
      close_new_sockets();
      return false;
    };
    const auto address = listening_address(wanted[i].address);
    if (!address) return failed(address.error());
    // With SO_REUSEPORT alone, a second instance would silently take half of the connections.
    if (!may_share) {
      auto alone = net::open_listening_socket(*address, false);
      if (!alone) return failed(alone.error());
      ::close(*alone);
    }
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
      auto socket = net::open_listening_socket(*address, true);
      if (!socket) return failed(socket.error());
      pending_sockets_[worker][i] = *socket;
    }
  }
  return true;
}

void Control::close_new_sockets() {
  for (std::vector<int>& sockets : pending_sockets_) {
    for (const int descriptor : sockets) {
      if (descriptor >= 0) ::close(descriptor);
    }
  }
  pending_sockets_.clear();
}

void Control::apply_pending() {
  if (current_ && pending_->model->threads != current_->model->threads) {
    base::log(LogLevel::warn, "config", "threads: a change takes effect at the next start");
  }
  current_ = std::move(pending_);
  applied_ = 0;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->apply(current_, std::move(pending_sockets_[i]));
  }
  pending_sockets_.clear();
}

void Control::on_applied(std::uint64_t number) {
  if (!current_ || number != current_->number || ++applied_ < workers_.size()) return;
  finish_reload(true, {});
}

void Control::finish_reload(bool ok, const std::string& error) {
  last_reload_ok_ = ok;
  last_reload_error_ = error;
  outcome_.ok = ok;
  outcome_.file = options_.config_file;
  outcome_.error = error;
  outcome_.generation = current_ ? current_->number : 0;
  outcome_.duration_s = static_cast<double>(base::monotonic_ns() - reload_began_ns_) / 1e9;
  if (ok) {
    last_success_us_ = base::wall_us();
    if (state_ == State::starting) {
      state_ = State::ready;
      base::log(LogLevel::info, "proxy", "ready: generation {}, {} sites, {} pools",
                current_->number, current_->model->sites.size(), current_->model->pools.size());
    } else {
      ++reloads_ok_;
      base::log(LogLevel::info, "config", "reload: generation {} in {:.3f} s", current_->number,
                outcome_.duration_s);
    }
  } else {
    if (current_) ++reloads_failed_;
    base::log(LogLevel::error, "config", "{}: {}",
              current_ ? "reload refused, nothing has changed" : "cannot start", error);
    log_lines(outcome_.text);
  }
  const std::vector<ReloadWaiter*> waiters = std::exchange(waiters_, {});
  for (ReloadWaiter* waiter : waiters)
    waiter->on_reload_done(outcome_);
  end_reload();
}

// The next one, if somebody asked for it meanwhile.
void Control::end_reload() {
  is_reloading_ = false;
  waiters_.insert(waiters_.end(), next_waiters_.begin(), next_waiters_.end());
  next_waiters_.clear();
  const bool is_asked = std::exchange(reload_again_, false) || !waiters_.empty();
  const bool looks = std::exchange(look_again_, false);
  if (!is_asked && !looks) return;
  if (state_ == State::ready) {
    start_loading(!is_asked);
  } else {
    for (ReloadWaiter* waiter : std::exchange(waiters_, {}))
      waiter->on_reload_done(outcome_);
  }
}

}  // namespace portunus::proxy
