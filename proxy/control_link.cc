// Control and the supervisor: sockets are asked for, orders taken, and how it goes is told; to the
// service manager where there is no supervisor.
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "proxy/admin.h"
#include "proxy/control.h"
#include "proxy/load_job.h"
#include "proxy/resolve.h"
#include "proxy/sticky_secret.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;
using supervisor::Kind;

// The supervisor reads the configuration as well, and looks up names.
constexpr std::uint64_t kAnswerMs = 130'000;
// It closes sockets and starts services; one of an older version says nothing.
constexpr std::uint64_t kSettleMs = 5'000;

// The token is no matter of the supervisor's.
bool is_elsewhere(const conf::Admin& one, const conf::Admin& other) {
  return one.is_enabled != other.is_enabled || one.listen != other.listen;
}

}  // namespace

// ---- a configuration that concerns the supervisor ----

bool Control::concerns_supervisor(const conf::Model& model, const std::string& model_hash) const {
  if (current_) {
    const conf::Model& now = *current_->model;
    return model.listeners != now.listeners || is_elsewhere(model.admin, now.admin) ||
           model.services != now.services || model.log != now.log ||
           model.shutdown != now.shutdown || model.user != now.user || model.state != now.state ||
           has_authority(model) != has_authority(now) ||
           needs_sticky_secret(model) != needs_sticky_secret(now);
  }
  // What was good belongs to what the supervisor has. Else the file has changed since it was read.
  if (runs_on_copy_) return false;
  return model_hash != supervisor_hash_;
}

// True: it goes on when the answer is there.
bool Control::ask_supervisor(conf::LoadResult& loaded, RouteTable& routes, ResolvedNames& names) {
  if (!link_.is_supervised() || !concerns_supervisor(*loaded.model, loaded.hash)) return false;
  const std::string hash = loaded.hash;
  awaited_ =
      std::make_unique<Awaited>(Awaited{std::move(loaded), std::move(routes), std::move(names)});
  is_asked_ = true;
  loop_.timers().arm(answer_due_, kAnswerMs);
  static_cast<void>(link_.send(supervisor::Message(Kind::prepare, hash)));
  return true;
}

void Control::on_prepared(bool is_good, const std::string& why) {
  const std::unique_ptr<Awaited> awaited = std::move(awaited_);
  if (!awaited) return;
  answer_due_.disarm();
  if (state_ != State::ready && state_ != State::starting) {
    finish_reload(false, "the proxy is stopping");
  } else if (is_good) {
    build(std::move(awaited->loaded), std::move(awaited->routes), awaited->names);
  } else {
    finish_reload(false, why);
  }
  if (state_ == State::starting && !last_reload_ok_) end_failed_start();
}

void Control::on_answer_late() {
  if (awaited_) {
    on_prepared(false, "the supervisor does not answer");
  } else {
    on_settled();
  }
}

// A listener that has gone refuses connections from the moment the reload is said to be done: not
// while the supervisor's own copy of its socket still takes them in.
void Control::on_settled() {
  if (!std::exchange(is_settling_, false)) return;
  answer_due_.disarm();
  finish_reload(true, {});
}

void Control::tell_outcome(bool ok) {
  if (!link_.is_supervised()) return;
  if (std::exchange(is_asked_, false)) {
    static_cast<void>(link_.send(supervisor::Message(ok ? Kind::applied : Kind::abandoned)));
    is_settling_ = ok;
    if (is_settling_) loop_.timers().arm(answer_due_, kSettleMs);
  }
  // Threads and the admin interface have copies; one more, which nobody accepts from, would hold a
  // queue open when they close theirs.
  inherited_.retain({});
  if (!ok && current_) set_service_members(replicas_.members(*current_->model));
}

// After `ready`, so that the one that serves is meant.
void Control::hand_over_files() {
  const conf::SealedFiles copy = std::exchange(files_copy_, {});
  const int descriptor = copy.descriptor();
  if (!copy.is_set()) return;
  supervisor::Message message(Kind::good, files_hash_);
  message.is_good = !runs_on_copy_;
  static_cast<void>(link_.send(message, {&descriptor, 1}));
}

// ---- orders ----

void Control::on_message(const supervisor::Message& message, std::vector<int> descriptors) {
  switch (message.kind) {
    case Kind::sockets:
      for (std::size_t i = 0; i < std::min(descriptors.size(), message.addresses.size()); ++i) {
        if (const auto address = net::Address::parse(message.addresses[i]); address.is_set()) {
          inherited_.add(address, std::exchange(descriptors[i], -1));
        }
      }
      break;
    case Kind::prepared:
      on_prepared(message.is_good, message.text);
      break;
    case Kind::settled:
      on_settled();
      break;
    case Kind::reload:
      request_reload(message.text);
      break;
    case Kind::reopen_logs:
      reopen_logs();
      break;
    case Kind::stop:
      stop(message.text);
      break;
    case Kind::members:
      supervisor_hash_ = message.text;
      replicas_.note(message.services);
      if (!descriptors.empty() && !current_) recall(descriptors.front());
      if (current_) {
        set_service_members(
            replicas_.members(*current_->model, pending_ ? pending_->model.get() : nullptr));
        // A supervisor that was executed anew may have forgotten what it was told.
        builder_.dynamic().tell_again();
        tell_drained();
      }
      break;
    case Kind::retire:
      retire();
      break;
    case Kind::services_view:
      services_.note(message);
      break;
    case Kind::ordered:
      service_orders_.note(message);
      break;
    case Kind::count_requests:
      tell_requests(message.service);
      break;
    case Kind::dump:
      dump_state();
      end_now();
      break;
    default:
      break;
  }
  for (const int each : descriptors) {
    if (each >= 0) ::close(each);
  }
}

// Another proxy serves on the same sockets, the admin interface too.
void Control::retire() {
  if (state_ != State::starting && state_ != State::ready) return;
  base::log(LogLevel::info, "proxy", "another proxy serves: draining");
  if (admin_) admin_->stop();
  begin_drain();
}

void Control::on_supervisor_gone() {
  if (state_ == State::ended) return;
  base::log(LogLevel::error, "proxy", "the supervisor has gone: stopping");
  if (admin_) admin_->stop();  // whoever is started in its place wants that address at once
  if (state_ != State::draining) begin_drain();
}

// ---- news ----

void Control::tell_ready() {
  std::string text = "generation " + std::to_string(current_->number) + ": " +
                     std::to_string(current_->model->sites.size()) + " sites, " +
                     std::to_string(current_->model->pools.size()) + " pools";
  if (!last_reload_ok_) text += "; the last reload was refused";
  link_.ready(text);
}

// Alive is who answers: the next sign of life waits for every data-plane thread.
void Control::on_alive_due() {
  loop_.timers().arm(alive_due_, link_.alive_every_ms());
  if (silent_workers_ > 0) {
    base::log(LogLevel::error, "proxy", "{} data-plane threads do not answer", silent_workers_);
    return;
  }
  link_.alive();
  for (auto& worker : workers_) {
    const bool is_running =
        worker->loop().post([this] { loop_.post([this] { --silent_workers_; }); });
    if (is_running) ++silent_workers_;
  }
}

}  // namespace portunus::proxy
