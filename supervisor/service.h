// One service: how many replicas it has, which of them are members of its pool, and which may be
// restarted when. The supervisor tells it what the proxy's probes say and when a member has no
// request left; it tells the proxy the members. What happens to one replica is in replica.h, a
// rolling restart in roll.h. Owned by Services. Supervisor's thread; no method calls back at once,
// but for ServiceHost::on_members_changed(). No command may be given from within a callback.
//
// Which restarts wait for what:
//   crashed, oom, start_failed   back-off of the replica, then the storm guard of the service
//   sick                         storm guard, and at most a third (at least one) at once
//   roll, config                 one by one
//   operator                     nothing: all at once
// The back-off begins when a replica fails that has not been good, or fails again: the first crash
// of a good one is mended at once. It is forgotten after max(backoff_max, 10 * backoff_min) of
// running. The storm guard never gives up: it lets the next one happen when its window has room.
#pragma once

#include <uv.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "conf/model.h"
#include "supervisor/backoff.h"
#include "supervisor/replica.h"
#include "supervisor/roll.h"
#include "supervisor/service_scaling.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

class Service;

class ServiceHost {
 public:
  // members() has changed. The proxy is told before a process gets its stop signal: called from
  // within the service's methods. on_drained() may be called from within, as when there is no proxy.
  virtual void on_members_changed(const Service& service) = 0;
  // Service::on_requests() is to be told what is under way in its pool. From the loop.
  virtual void on_requests_wanted(const Service& /*service*/) {}
  // Something that is shown may have changed. From the loop.
  virtual void on_changed(const Service& /*service*/) {}
  // It was told to stop, and no process of it is left. From the loop; once for each time.
  virtual void on_stopped(const Service& service) = 0;

 protected:
  ~ServiceHost() = default;
};

struct ServiceMember {
  std::uint16_t port = 0;
  std::uint32_t life = 0;    // another number is another process: to be probed anew, slow start too
  bool is_draining = false;  // no new requests; on_drained() follows when none is left
  friend bool operator==(const ServiceMember&, const ServiceMember&) = default;
};

// All of a service, as plain values, for a supervisor that re-executes itself. A roll is not in it:
// it is begun anew when definitions differ, and is over when they do not.
struct SavedService {
  conf::Service definition;
  conf::Service proven;
  std::uint32_t desired = 0;
  std::uint32_t last_life = 0;
  bool is_scaled = false;
  bool is_stopped = false;
  bool is_removed = false;
  SavedScaling scaling;
  RestartCounts restarts{};
  std::vector<std::uint64_t> recent_restarts_ms;  // on the monotonic clock; oldest first
  std::vector<ReplicaRecord> replicas;
};

class Service final : private ReplicaOwner, private RollHost, private ScalingHost {
 public:
  // The error is one line for the operator.
  using Outcome = std::expected<void, std::string>;

  // Starts its replicas when the loop turns.
  Service(Surroundings& surroundings, ServiceHost& host, const conf::Service& definition);
  // Goes on where save() was called. The caller reaps afterwards: children may have ended meanwhile.
  Service(Surroundings& surroundings, ServiceHost& host, SavedService saved);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // ---- commands
  void start();
  void stop();
  // As stop(), but with SIGKILL and without a drain. May follow stop().
  void kill_all();
  // Stops, and forgets its replicas; on_stopped() follows even when there are none.
  void remove();
  [[nodiscard]] Outcome restart();
  // Between replicas_min and replicas_max; holds until these no longer allow it, or the load decides.
  [[nodiscard]] Outcome scale(std::uint32_t replicas);
  // To what apply() was given last, even when that has not worked then. The listener may be null.
  [[nodiscard]] Outcome roll(RollListener* listener);
  void forget_listener(const RollListener& listener);
  // A new configuration: what has not changed is not touched. Brings a removed service back.
  void apply(const conf::Service& definition);

  // ---- events
  void on_health(const HealthReport& report);
  void on_drained(std::uint16_t port, std::uint32_t life);
  // The answer to ServiceHost::on_requests_wanted().
  void on_requests(const RequestLoad& requests) { scaling_.on_requests(requests); }

  // ---- views
  [[nodiscard]] const std::string& name() const { return definition_.name; }
  [[nodiscard]] const conf::Service& definition() const { return definition_; }
  [[nodiscard]] std::vector<ServiceMember> members() const;
  [[nodiscard]] std::vector<const ReplicaRecord*> replicas() const override;
  [[nodiscard]] const RestartCounts& restarts() const { return restarts_; }
  [[nodiscard]] std::uint32_t desired() const override { return is_stopped_ ? 0 : desired_; }
  [[nodiscard]] const SavedScaling& scaling() const { return scaling_.saved(); }
  [[nodiscard]] bool is_stopped() const { return is_stopped_; }
  [[nodiscard]] bool is_removed() const { return is_removed_; }
  [[nodiscard]] bool is_rolling() const { return roll_ != nullptr; }
  // Why the definition that apply() was given last did not work, and the former one runs; else empty.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }
  [[nodiscard]] bool has_process() const;
  [[nodiscard]] SavedService save() const;

 private:
  void on_members_changed() override { host_.on_members_changed(*this); }
  void on_replica_changed() override { turn_.arm(0); }
  std::uint16_t choose_port(const Replica& replica) override;
  std::uint64_t ask_storm_guard() override;
  std::uint64_t backoff_ms(std::uint32_t strikes) override;
  std::uint32_t next_life() override { return ++last_life_; }
  void on_restart(RestartReason reason) override;

  Replica* find_replica(std::uint32_t number) override;
  Replica* add_newcomer(const conf::Service& definition) override;
  bool may_restart_on_purpose() override;
  void on_roll_due() override { turn_.arm(0); }

  void ask_requests() override { host_.on_requests_wanted(*this); }
  void on_scaled(std::uint32_t replicas) override;
  void on_scaling_changed() override { turn_.arm(0); }

  void warn_of_limits() const;
  void settle();
  void keep_count();
  void drop_one();
  void restart_sick();
  [[nodiscard]] Replica* find_sickest() const;  // longest; null when nobody is
  void step_roll();
  void finish_roll();
  void begin_config_roll(RollListener* listener);
  void stop_roll(std::string_view why);
  void take_settings();
  [[nodiscard]] Outcome ready_to_change() const;
  Replica& add_replica(const conf::Service& definition, std::uint16_t port);
  [[nodiscard]] std::uint16_t free_port(const conf::PortRange& range, const Replica* asking) const;
  [[nodiscard]] std::uint32_t staying() const;

  Surroundings& surroundings_;
  ServiceHost& host_;
  conf::Service definition_;
  conf::Service proven_;   // the last one that all replicas had: what a failed roll goes back to
  conf::Service refused_;  // the one that did not work
  std::string refusal_;    // and why; empty = there is none
  std::vector<std::unique_ptr<Replica>> replicas_;  // by number
  std::unique_ptr<Roll> roll_;
  std::minstd_rand chance_{std::random_device{}()};
  StormGuard storm_guard_;
  ServiceScaling scaling_;
  Timer turn_;  // everything that concerns several replicas is looked at when the loop turns
  RestartCounts restarts_{};
  std::uint32_t desired_ = 0;
  std::uint32_t last_life_ = 0;
  bool is_scaled_ = false;
  bool is_stopped_ = false;
  bool is_removed_ = false;
  bool is_stop_told_ = false;
  bool is_roll_due_ = false;
  bool is_rolling_back_ = false;
};

}  // namespace portunus::supervisor
