#include "supervisor/roll.h"

#include <utility>

#include "base/log.h"

namespace portunus::supervisor {
namespace {

using State = ReplicaState;
using Goal = ReplicaRecord::Goal;

// Long enough for a process that takes all of its start_period, then the probes that would tell.
std::uint64_t patience_ms(const conf::Service& service) {
  const conf::Health& health = service.health;
  return static_cast<std::uint64_t>(
      (service.start_period + health.fall * health.interval + health.timeout).count());
}

std::string text_of(const ReplicaRecord& record) {
  if (record.port == 0) return fmt::format("replica {}", record.number);
  return fmt::format("replica {} (port {})", record.number, record.port);
}

}  // namespace

Roll::Roll(uv_loop_t& loop, RollHost& host, RollPlan plan, RollListener* listener)
    : host_(host),
      plan_(std::move(plan)),
      listener_(listener),
      deadline_(loop, this, [](void* self) {
        auto& roll = *static_cast<Roll*>(self);
        roll.is_late_ = true;
        roll.host_.on_roll_due();
      }) {}

void Roll::step() {
  Phase before = Phase::picking;
  do {  // as far as it goes without waiting
    before = phase_;
    switch (phase_) {
      case Phase::picking:
        pick();
        break;
      case Phase::falling:
        fall();
        break;
      case Phase::rising:
        rise();
        break;
      case Phase::leaving:
        leave();
        break;
    }
  } while (state_ == RollState::going && phase_ != before);
}

void Roll::pick() {
  if (!std::exchange(is_begun_, true)) {
    tell(
        fmt::format("{} to replace, one at a time: {}", plan_.replicas.size(), plan_.cause.detail));
  }
  if (done_ == plan_.replicas.size()) {
    end(RollState::done, "done");
    return;
  }
  old_ = plan_.replicas[done_];
  Replica* const old = host_.find_replica(old_);
  if (old == nullptr) {  // has left meanwhile
    ++done_;
    host_.on_roll_due();
    return;
  }
  if (!host_.may_restart_on_purpose()) return;
  is_late_ = false;
  const State state = old->record().state;
  const bool is_at_work = state == State::starting || state == State::running;
  Replica* const newcomer = is_at_work ? host_.add_newcomer(plan_.definition) : nullptr;
  if (newcomer != nullptr) {
    new_ = newcomer->record().number;
    newcomer->restart(plan_.cause, Goal::once);
    tell(fmt::format("{}: {} starts", text_of(old->record()), text_of(newcomer->record())));
    deadline_.arm(patience_ms(plan_.definition));
    phase_ = Phase::rising;
    return;
  }
  new_ = old_;
  old->set_definition(plan_.definition);
  old->restart(plan_.cause, Goal::once);
  tell(fmt::format("{}: drains and stops", text_of(old->record())));
  phase_ = Phase::falling;
}

void Roll::fall() {
  const Replica* const replica = host_.find_replica(new_);
  if (replica == nullptr) {
    fail("has gone");
    return;
  }
  const State state = replica->record().state;
  if (state == State::draining || (state == State::stopping && replica->record().cause)) return;
  tell(fmt::format("{}: starts", text_of(replica->record())));
  deadline_.arm(patience_ms(plan_.definition));
  phase_ = Phase::rising;
}

void Roll::rise() {
  Replica* const newcomer = host_.find_replica(new_);
  if (newcomer == nullptr) {
    fail("has gone");
    return;
  }
  const ReplicaRecord& record = newcomer->record();
  const bool is_ended =
      record.state == State::stopped || (record.state == State::stopping && !record.cause);
  if (is_ended) {
    if (record.state == State::stopped) fail("it ended before it was good");
    return;
  }
  if (record.state == State::running) {
    deadline_.disarm();
    newcomer->run(Goal::run);
    tell(fmt::format("{}: good", text_of(record)));
    if (new_ == old_) {
      finish_one();
      return;
    }
    if (Replica* const old = host_.find_replica(old_); old != nullptr) {
      tell(fmt::format("{}: drains and stops", text_of(old->record())));
      old->stop(Goal::leave);
    }
    phase_ = Phase::leaving;
  } else if (is_late_ || record.sick_since_ns != 0) {
    fail(record.sick_since_ns != 0 ? record.sick_detail : std::string("not good in time"));
  }
}

void Roll::leave() {
  const Replica* const old = host_.find_replica(old_);
  if (old == nullptr || old->is_gone()) finish_one();
}

void Roll::finish_one() {
  plan_.replicas[done_] = new_;
  ++done_;
  tell(fmt::format("{} of {} done", done_, plan_.replicas.size()));
  phase_ = Phase::picking;
  host_.on_roll_due();  // stop-first: the phase may be what it was before this step
}

void Roll::fail(std::string_view why) {
  std::string line = fmt::format("failed: replica {}: {}", new_, why);
  if (Replica* const newcomer = host_.find_replica(new_); newcomer != nullptr) {
    if (new_ != old_) {
      newcomer->stop(Goal::leave);
      line += "; the old one stays";
    } else {
      newcomer->set_definition(plan_.former);
      newcomer->restart({plan_.cause.reason, "rolled back: " + std::string(why)});
      line += "; started again as it was before";
    }
  }
  end(RollState::failed, line);
}

void Roll::abort(std::string_view why) {
  if (state_ != RollState::going) return;
  if (Replica* const newcomer = host_.find_replica(new_);
      newcomer != nullptr && (phase_ == Phase::rising || phase_ == Phase::falling)) {
    if (new_ != old_) {
      newcomer->stop(Goal::leave);
    } else {
      newcomer->run(Goal::run);
    }
  }
  end(RollState::failed, fmt::format("broken off: {}", why));
}

void Roll::end(RollState state, const std::string& line) {
  deadline_.disarm();
  state_ = state;
  outcome_ = line;
  tell(line);
  listener_ = nullptr;
}

void Roll::tell(const std::string& line) {
  base::log(state_ == RollState::failed ? base::LogLevel::warn : base::LogLevel::info, "supervisor",
            "service {}: {}: {}", plan_.definition.name, name_of(plan_.cause.reason), line);
  if (listener_ != nullptr) listener_->on_roll(line, state_);
}

}  // namespace portunus::supervisor
