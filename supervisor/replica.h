// One replica of a service: one process at a time, from its start to the end of its process group,
// and again. Owned by its Service, which decides how many there are and when one is restarted on
// purpose. All that it knows is a plain record, which outlives a supervisor that re-executes itself.
// Supervisor's thread; nothing here calls back at once, but for ReplicaOwner.
//
//   state      event                        next       action
//   waiting    time is up, storm guard      starting   a new process; joins the members
//   starting   probe good (or no probe)     running    traffic follows the proxy's own probe
//   starting   exit                         stopping   leaves the members; the group is killed
//   running    exit                         stopping   the same
//   starting,  told to stop or restart      draining   no new requests (without a pool: stopping)
//   running
//   draining   drained, or grace over       stopping   leaves the members, then stop signal to the group
//   stopping   grace over                   stopping   SIGKILL to the group
//   stopping   exit, and the group is gone  waiting    back-off, when it is to run again
//   stopping   exit, and the group is gone  stopped    else
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "conf/model.h"
#include "supervisor/reaper.h"
#include "supervisor/replica_process.h"
#include "supervisor/replica_record.h"
#include "supervisor/surroundings.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

// What the proxy's probe of a member found.
struct HealthReport {
  std::uint16_t port = 0;
  std::uint32_t life =
      0;  // as ServiceMember has it; 0 = not known. One of another process is ignored.
  std::uint32_t failures_in_row = 0;  // 0 = good
  std::string_view detail;            // of a failure
};

class Replica;

// Its service; all are called from within the replica's methods.
class ReplicaOwner {
 public:
  // The proxy has to know before this returns.
  virtual void on_members_changed() = 0;
  // State or sickness; to be looked at when the loop turns, not now.
  virtual void on_replica_changed() = 0;
  // Its own when it may have it, else another one that is free; 0 = none is.
  [[nodiscard]] virtual std::uint16_t choose_port(const Replica& replica) = 0;
  // Milliseconds until the storm guard lets one more restart happen; 0: this one, it is counted.
  [[nodiscard]] virtual std::uint64_t ask_storm_guard() = 0;
  [[nodiscard]] virtual std::uint64_t backoff_ms(std::uint32_t strikes) = 0;
  [[nodiscard]] virtual std::uint32_t next_life() = 0;
  virtual void on_restart(RestartReason reason) = 0;

 protected:
  ~ReplicaOwner() = default;
};

class Replica final : public ChildHandler {
 public:
  using Goal = ReplicaRecord::Goal;

  // Stopped. Or, with a record of a former supervisor, as that one left it: its process is watched,
  // its timer goes on.
  Replica(Surroundings& surroundings, ReplicaOwner& owner, ReplicaRecord record);
  // Its process, if any, is left alone.
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // With Goal::run or Goal::once: starts it when it is stopped, or once it is.
  void run(Goal goal);
  // Drains and stops what runs, then starts it anew, with `goal` as in run().
  void restart(const RestartCause& cause, Goal goal = Goal::run);
  // With Goal::stop or Goal::leave.
  void stop(Goal goal);
  // SIGKILL at once, without a drain; the goal is stop, or remains leave.
  void kill();
  // For the next start. The settings (policies, times) hold from now on.
  void set_definition(const conf::Service& definition);

  // It has to wait for its restart: shown, and (but for its turn) logged once for each time.
  void hold_up(ReplicaWait wait);

  void on_health(const HealthReport& report);
  // The proxy has no request in flight to it.
  void on_drained();
  void on_exit(pid_t pid, Exit exit) override;

  [[nodiscard]] const ReplicaRecord& record() const { return record_; }
  [[nodiscard]] bool is_gone() const {
    return record_.state == ReplicaState::stopped && record_.goal == Goal::leave;
  }
  // It is to go, or gone.
  [[nodiscard]] bool is_leaving() const { return record_.goal == Goal::leave; }
  [[nodiscard]] bool is_member() const;
  // It is sick, and nothing has been done about it yet.
  [[nodiscard]] bool is_waiting_for_restart() const;

 private:
  void on_timer();
  void arm(std::uint64_t after_ms);
  void disarm();
  void become(ReplicaState state);
  void wait(std::uint64_t delay_ms);
  void start_process();
  [[nodiscard]] bool may_start();
  void put_off(std::uint64_t for_ms, ReplicaWait wait);
  void begin_running();
  void begin_drain();
  void send_stop();
  void sweep();
  void on_ended();
  void on_failure(const RestartCause& cause);
  void log_exit(Exit exit) const;
  [[nodiscard]] bool is_probed() const;
  [[nodiscard]] std::string label() const;

  Surroundings& surroundings_;
  ReplicaOwner& owner_;
  ReplicaRecord record_;
  ReplicaProcess process_;
  Timer timer_;  // one at a time: what it means follows from the state
  std::uint32_t sweeps_ = 0;
  bool is_known_member_ = false;  // what the owner was told last
  bool is_known_draining_ = false;
};

}  // namespace portunus::supervisor
