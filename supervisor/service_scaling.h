// The automatic scaling of one service: measures, has a Scaler decide, and says so. Owned by its
// Service, which carries it out. Supervisor's thread; there is a timer only while a service that
// scales runs. The requests are asked of the proxy, once per interval; an answer that does not come
// before the next question is missing.
#pragma once

#include <uv.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "conf/model.h"
#include "supervisor/replica_record.h"
#include "supervisor/scaler.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

// Decisions so far.
struct ScalingCounts {
  std::uint64_t up = 0;
  std::uint64_t down = 0;
  std::uint64_t dry_up = 0;  // only said
  std::uint64_t dry_down = 0;
  friend bool operator==(const ScalingCounts&, const ScalingCounts&) = default;
};

// What outlives a supervisor that re-executes itself.
struct SavedScaling {
  ScalingCounts counts;
  std::string last;                 // change, one line; empty = none
  std::uint64_t held_until_ms = 0;  // on the monotonic clock
  bool is_ours = false;             // the number of replicas is a decision from here
};

// Its service; called from the loop.
class ScalingHost {
 public:
  [[nodiscard]] virtual std::vector<const ReplicaRecord*> replicas() const = 0;
  [[nodiscard]] virtual std::uint32_t desired() const = 0;
  // ServiceScaling::on_requests() is the answer.
  virtual void ask_requests() = 0;
  virtual void on_scaled(std::uint32_t replicas) = 0;
  // What is shown has changed.
  virtual void on_scaling_changed() = 0;

 protected:
  ~ScalingHost() = default;
};

class ServiceScaling {
 public:
  ServiceScaling(uv_loop_t& loop,
                 ScalingHost& host,
                 const conf::Service& definition,
                 SavedScaling saved);

  // A new configuration. Before the first set_active().
  void apply(const conf::Service& definition);
  // Whether decisions can be carried out: it runs, and is not being rolled.
  void set_active(bool is_active);
  // A person wants so many: nothing is decided for `down_after`.
  void on_person(std::uint32_t from, std::uint32_t to);
  void on_requests(const RequestLoad& requests);

  [[nodiscard]] const SavedScaling& saved() const { return saved_; }

 private:
  struct Measured {
    std::uint32_t life;
    std::uint64_t cpu_us;
  };

  void on_tick();
  void decide();
  void carry_out(const ScaleDecision& decision);
  void tell_shortage();
  void note(std::string what);
  [[nodiscard]] bool needs_requests() const;
  [[nodiscard]] std::optional<double> measure_cpus(std::uint64_t now_ns);
  [[nodiscard]] std::string text_of(const ScaleDecision& decision) const;

  ScalingHost& host_;
  conf::Scale settings_;
  std::string name_;
  std::uint32_t min_;
  std::uint32_t max_;
  Scaler scaler_;
  Timer timer_;
  SavedScaling saved_;
  bool is_asked_ = false;
  std::optional<RequestLoad> requests_;
  std::vector<Measured> measured_;  // the last time
  std::uint64_t measured_ns_ = 0;
  std::optional<double> cpus_;
  std::uint32_t dry_replicas_ = 0;  // as many as there would be
  std::uint32_t dry_base_ = 0;      // as many as there were when that began
  bool is_short_told_ = false;
};

}  // namespace portunus::supervisor
