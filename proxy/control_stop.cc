// How the proxy is told to stop, drains and ends.
#include <csignal>

#include "base/log.h"
#include "proxy/admin.h"
#include "proxy/control.h"
#include "proxy/load_job.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

std::uint64_t ms(conf::Milliseconds duration) {
  return static_cast<std::uint64_t>(duration.count());
}

}  // namespace

void Control::on_signal(int number) {
  const net::Loop::Turn turn(loop_);
  switch (number) {
    case SIGHUP:
      request_reload("SIGHUP");
      return;
    case SIGUSR1:
      reopen_logs();
      return;
    case SIGUSR2:
      base::log(LogLevel::warn, "proxy", "SIGUSR2: the hand-over to a new binary is not built yet");
      return;
    case SIGQUIT:
      dump_state();
      end_now();
      return;
    case SIGTERM:
    case SIGINT:
      stop(number == SIGTERM ? "SIGTERM" : "SIGINT");
      return;
    default:  // SIGCHLD: nobody's
      return;
  }
}

void Control::reopen_logs() {
  base::reopen_log();
  access_log_.reopen();
}

void Control::stop(std::string_view why) {
  if (state_ == State::starting || state_ == State::ready) {
    base::log(LogLevel::info, "proxy", "stopping: {}", why);
    begin_stop();
  } else {
    base::log(LogLevel::warn, "proxy", "second signal: ending at once");
    end_now();
  }
}

// The reason has been logged.
void Control::end_failed_start() {
  exit_status_ = 1;
  end();
}

void Control::begin_stop() {
  state_ = State::announcing;
  link_.stopping();
  const std::uint64_t announce = current_ ? ms(current_->model->shutdown.announce) : 0;
  if (announce > 0) {
    loop_.timers().arm(stop_deadline_, announce);
  } else {
    begin_drain();
  }
}

void Control::begin_drain() {
  tell_memory();
  state_ = State::draining;  // the probes go on: a request may wait for a member that comes up
  inherited_.retain({});
  for (auto& worker : workers_)
    worker->drain();
  const std::uint64_t drain = current_ ? ms(current_->model->shutdown.drain) : 0;
  loop_.timers().arm(stop_deadline_, drain);
}

void Control::end_now() {
  if (state_ == State::ended) return;
  state_ = State::draining;
  prober_.stop();
  judge_.stop();
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
  alive_due_.disarm();
  memory_due_.disarm();
  slow_start_due_.disarm();
  first_round_.disarm();
  prober_.stop();
  judge_.stop();
  staples_.stop();
  consul_.stop();
  fetcher_.close_all();
  answer_due_.disarm();
  service_orders_.stop();
  if (signals_) signals_->stop();
  link_.stop();
  if (files_) files_->stop();
  if (admin_) admin_->stop();
  loop_.stop();
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
