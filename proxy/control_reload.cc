// How a configuration becomes the running one: loaded beside it, members probed, published, or
// refused with nothing changed.
#include <algorithm>
#include <ctime>

#include "base/clock.h"
#include "base/log.h"
#include "conf/load_certificates.h"
#include "proxy/admin.h"
#include "proxy/control.h"
#include "proxy/load_job.h"
#include "proxy/orphan_alarm.h"
#include "proxy/resolve.h"
#include "proxy/tls_members.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

// New members get this long for their first probe before the generation that names them is used.
constexpr std::uint64_t kFirstRoundMs = 1'000;

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

void Control::on_files_changed(const ChangedFiles& changed) {
  changed_.add(changed);
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
  if (!only_if_changed) link_.reloading();
  outcome_ = {};
  job_ = std::make_unique<LoadJob>();
  job_->control = this;
  job_->file = options_.config_file;
  job_->only_if_changed = only_if_changed;
  job_->changed = std::exchange(changed_, {});
  job_->keeps_copy = link_.is_supervised();
  job_->certificates = &tls_.cache();
  job_->running = current_;
  job_->tls = tls_setup_;
  job_->tickets = builder_.tickets();
  if (only_if_changed) {
    job_->known_files = seen_files_;
    job_->known_hash = seen_hash_;
    job_->is_running_on_known = last_reload_ok_;
    job_->is_let_be = lets_seen_be_;
  }
  job_->work.data = job_.get();
  uv_queue_work(
      loop_.uv(), &job_->work,
      [](uv_work_t* work) { static_cast<LoadJob*>(work->data)->work_off(); },
      [](uv_work_t* work, int /*status*/) {
        auto* job = static_cast<LoadJob*>(work->data);
        const net::Loop::Turn turn(job->control->loop_);
        job->control->on_loaded(*job);
      });
}

void Control::note_seen(const conf::LoadResult& loaded) {
  lets_seen_be_ = false;
  seen_hash_ = loaded.hash;
  seen_certificates_ = loaded.certificates_hash;
  seen_files_ = loaded.folders.empty() ? loaded.files : std::vector<std::string>{};
}

void Control::on_loaded(LoadJob& job) {
  const std::unique_ptr<LoadJob> held = std::move(job_);
  if (state_ != State::ready && state_ != State::starting) {
    finish_reload(false, "the proxy is stopping");
    return;
  }
  revocations_.take(std::move(job.fresh_revocations), std::time(nullptr));
  if (job.fresh_tls) swap_certificates(job);
  if (!job.is_loaded || (job.only_if_changed && job.loaded.hash == seen_hash_ &&
                         job.loaded.certificates_hash == seen_certificates_)) {
    look_further();
    return;
  }
  note_seen(job.loaded);
  outcome_.text = conf::format_text(job.loaded.diagnostics);
  outcome_.diagnostics = conf::format_json(job.loaded.diagnostics);
  if (!job.loaded.model || !job.routes) {
    static_cast<void>(watch(job.loaded));
    finish_reload(false, "the configuration is not valid");
    return;
  }
  prepare(std::move(job.loaded), std::move(*job.routes), std::move(job.names));
}

// What runs is watched, too: its certificates are renewed when that is refused.
bool Control::watch(const conf::LoadResult& loaded) {
  std::vector<std::string> files = loaded.files;
  files.insert(files.end(), loaded.certificate_files.begin(), loaded.certificate_files.end());
  return files_->watch(
      files, loaded.folders,
      current_ ? conf::certificate_files(*current_->model) : std::vector<std::string>{});
}

void Control::prepare(conf::LoadResult loaded, RouteTable routes, ResolvedNames names) {
  if (!watch(loaded)) {
    base::log(LogLevel::warn, "config", "changes of the files cannot be watched: use SIGHUP");
  }
  if (!ask_supervisor(loaded, routes, names)) {
    build(std::move(loaded), std::move(routes), names);
  }
}

void Control::build(conf::LoadResult loaded, RouteTable routes, const ResolvedNames& names) {
  // What runs stays as it is; the generation that is built has them in their next pools.
  set_service_members(current_ ? replicas_.members(*current_->model, loaded.model.get())
                               : replicas_.members(*loaded.model));
  auto internal = tls_.internal(*loaded.model, tls_folder(*loaded.model));
  if (!internal) {
    finish_reload(false, internal.error());
    return;
  }
  discover(*loaded.model);
  auto built = builder_.build(std::move(loaded.model), std::move(routes), names, current_.get(),
                              lists_, *std::move(internal));
  if (!built) {
    finish_reload(false, built.error());
    return;
  }
  (*built)->hash = loaded.shown_hash;
  if (needs_sticky_secret(*(*built)->model))
    (*built)->sticky_secret = sticky_secret_.in(state_folder(*(*built)->model));
  files_copy_ = std::move(loaded.copy);
  files_hash_ = loaded.hash;
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
  is_probing_ = true;
  loop_.timers().arm(first_round_, kFirstRoundMs);
  set_targets(*pending_, pending_->members);
}

// Logs and the admin interface: the last things that can fail, and before anything has changed.
bool Control::open_outputs(const conf::Model& model, std::string& why) {
  if (current_ && !apply_logging(model, why)) return false;  // at start they are open already
  if (admin_->open(model.admin, inherited_, why)) return true;
  std::string ignored;  // they were open a moment ago
  if (current_) static_cast<void>(apply_logging(*current_->model, ignored));
  return false;
}

void Control::set_targets(const Generation& generation,
                          const std::vector<SharedMemberList>& lists) {
  std::vector<health::ProbeTarget> targets;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    for (std::size_t k = 0; k < lists[i]->entries.size(); ++k) {
      const SharedMember& member = lists[i]->entries[k].member;
      const bool is_replica = builder_.dynamic().find(*member) != nullptr;
      if (k >= lists[i]->fixed && is_replica) continue;  // added below
      targets.push_back({member,
                         generation.model->pools[i].health,
                         {},
                         member->admin == health::AdminState::disabled && !is_replica});
    }
  }
  builder_.dynamic().add_targets(*generation.model, targets);
  probe_over_tls(generation, targets);
  if (!remembered_.empty()) remind(targets);
  prober_.set_targets(targets);
}

void Control::on_first_round_done() {
  if (!is_probing_ || awaits_lists_) return;
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

void Control::apply_pending() {
  if (current_ && pending_->model->threads != current_->model->threads) {
    base::log(LogLevel::warn, "config", "threads: a change takes effect at the next start");
  }
  current_ = std::move(pending_);
  set_orphan_patience(static_cast<std::uint64_t>(current_->model->shutdown.drain.count()));
  tls_setup_ = current_->tls;
  tls_.note(*current_->model);
  keep_staples();
  revocations_.set_model(*current_->model, std::time(nullptr));
  memory_due_.disarm();
  if (link_.is_supervised()) loop_.timers().arm(memory_due_, kMemoryDelayMs);
  lists_ = current_->members;
  begin_slow_start();
  begin_concurrency();
  judge_members();
  resume_held();
  remembered_.clear();  // who comes now is new
  look_at_last_resorts();
  applied_ = 0;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->apply(current_, std::move(pending_sockets_[i]));
  }
  pending_sockets_.clear();
  discover(*current_->model);
  note_discovered_changes();
  // The next pools are those that run now; after the generation, for the threads to know its lists.
  set_service_members(replicas_.members(*current_->model));
}

void Control::on_applied(std::uint64_t number) {
  if (!current_ || number != current_->number || ++applied_ < workers_.size()) return;
  tell_outcome(true);
  if (!is_settling_) finish_reload(true, {});
}

void Control::finish_reload(bool ok, const std::string& error) {
  if (!ok) tell_outcome(false);
  last_reload_ok_ = ok;
  last_reload_error_ = error;
  if (!ok) files_copy_ = {};
  if (!ok && current_) discover(*current_->model);
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
      if (runs_on_copy_) {
        note_copy();
      } else {
        look_again_ = changed_.may_be_any = true;  // what was read is watched from now on only
      }
    } else {
      ++reloads_ok_;
      runs_on_copy_ = false;
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

// What is on the disk is looked at at once: it says what is wrong with it, or is right by now. Unless
// it has been tried often enough.
void Control::note_copy() {
  last_reload_ok_ = false;
  last_reload_error_ = "started on the last configuration that was good";
  lets_seen_be_ =
      options_.tried_us > 0 && !conf::have_changed_since(seen_files_, options_.tried_us);
  if (lets_seen_be_) {
    // Empty with an include, which is a folder here: only a load tells whether it says the same.
    seen_hash_ = conf::hash_of_files(seen_files_);
    last_reload_error_ +=
        ": what the files say now has ended the proxy again and again, and waits for a change or a "
        "reload";
  } else {
    look_again_ = changed_.may_be_any = true;
  }
  if (seen_hash_.empty()) seen_files_.clear();
  base::log(LogLevel::warn, "config", "{}", last_reload_error_);
}

void Control::end_reload() {
  if (state_ == State::ready) {
    tell_ready();
    hand_over_files();
  }
  look_further();
}

// The next one, if somebody asked for it meanwhile.
void Control::look_further() {
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
