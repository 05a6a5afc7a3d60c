// A rolling restart: one replica after the other is replaced, and the next one only when the
// newcomer has proved good. Start-first where a port of the range is free, else stop-first. When a
// newcomer fails, the roll ends there and the failed one gives way to the former definition; what
// has been rolled before is the service's affair. Owned by its Service, which calls step() after
// every change. Supervisor's thread; the listener is called from step() and abort().
//
//   phase     event                             next      action
//   picking   nobody left                       over      done
//   picking   a port is free                    rising    newcomer starts, on trial
//   picking   none is                           falling   the replica drains and stops
//   falling   its process is gone               rising    it starts anew, on trial
//   rising    good, start-first                 leaving   the old one drains, stops and leaves
//   rising    good, stop-first                  picking
//   rising    ended, or not good in time        over      failed: rolled back
//   leaving   the old one is gone               picking
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "conf/model.h"
#include "supervisor/replica.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

enum class RollState : std::uint8_t { going, done, failed };

// Who watches a roll: a terminal.
class RollListener {
 public:
  // One line without its end; the last one comes with another state than `going`, then no more.
  virtual void on_roll(std::string_view line, RollState state) = 0;

 protected:
  ~RollListener() = default;
};

// The service, as a roll sees it.
class RollHost {
 public:
  [[nodiscard]] virtual Replica* find_replica(std::uint32_t number) = 0;
  // One more, on a port that is free; null when none is. The host deletes those that are gone.
  [[nodiscard]] virtual Replica* add_newcomer(const conf::Service& definition) = 0;
  // Others are being restarted, or the roll's own replica cannot have its turn yet.
  [[nodiscard]] virtual bool may_restart_on_purpose() = 0;
  // step() is due, when the loop turns.
  virtual void on_roll_due() = 0;

 protected:
  ~RollHost() = default;
};

struct RollPlan {
  RestartCause cause;  // roll or config
  std::vector<std::uint32_t> replicas;
  conf::Service definition;  // of those that come
  conf::Service former;      // for the one that fails
};

class Roll {
 public:
  Roll(uv_loop_t& loop, RollHost& host, RollPlan plan, RollListener* listener);
  void step();
  // Ends it where it is; a newcomer on trial is taken back.
  void abort(std::string_view why);
  void forget_listener(const RollListener& listener) {
    if (listener_ == &listener) listener_ = nullptr;
  }
  [[nodiscard]] RollState state() const { return state_; }
  [[nodiscard]] const RollPlan& plan() const { return plan_; }
  // How it has ended, as it was told.
  [[nodiscard]] const std::string& outcome() const { return outcome_; }
  // Of those that were to be replaced, how many have been.
  [[nodiscard]] std::size_t done() const { return done_; }

 private:
  enum class Phase : std::uint8_t { picking, falling, rising, leaving };

  void pick();
  void fall();
  void rise();
  void leave();
  void finish_one();
  void fail(std::string_view why);
  void end(RollState state, const std::string& line);
  void tell(const std::string& line);

  RollHost& host_;
  RollPlan plan_;
  RollListener* listener_;
  Timer deadline_;
  RollState state_ = RollState::going;
  Phase phase_ = Phase::picking;
  std::string outcome_;
  std::size_t done_ = 0;
  std::uint32_t old_ = 0;  // the replica whose turn it is
  std::uint32_t new_ = 0;  // the newcomer; the same when stop-first
  bool is_begun_ = false;
  bool is_late_ = false;
};

}  // namespace portunus::supervisor
