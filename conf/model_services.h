// Services of the supervisor as the configuration describes them. See conf/model.h for what holds for
// all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conf/model_pools.h"
#include "conf/model_values.h"

namespace portunus::conf {

// Both ends included.
struct PortRange {
  std::uint16_t first = 0;  // 0 = no ports
  std::uint16_t last = 0;
  [[nodiscard]] std::uint32_t size() const { return first == 0 ? 0 : last - first + 1U; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

enum class RestartPolicy : std::uint8_t { always, on_failure, never };

struct Restart {
  RestartPolicy policy = RestartPolicy::always;
  Milliseconds backoff_min{1'000};  // doubles with each failure, up to backoff_max
  Milliseconds backoff_max{60'000};
  // The storm guard: of all replicas of the service together.
  std::uint32_t max_in_window = 10;
  Milliseconds window{600'000};
  friend bool operator==(const Restart&, const Restart&) = default;
};

struct Stop {
  int signal = 15;             // as signal(7) numbers it
  Milliseconds grace{30'000};  // then SIGKILL
  friend bool operator==(const Stop&, const Stop&) = default;
};

struct ServiceLimits {
  std::uint64_t memory_bytes = 0;  // of each replica; 0 = no limit
  std::uint32_t cpu_percent = 0;  // of one CPU, of each replica: 150 = one and a half; 0 = no limit
  friend bool operator==(const ServiceLimits&, const ServiceLimits&) = default;
};

// Where the lines of a replica go besides the program's own log.
struct ServiceLog {
  std::uint64_t max_bytes = std::uint64_t{10} * 1024 * 1024;  // of one file; then it is set aside
  std::uint32_t keep = 3;                                     // files set aside
  friend bool operator==(const ServiceLog&, const ServiceLog&) = default;
};

// How many replicas there are follows what they have to do, between replicas_min and replicas_max.
// What is 0 is not looked at; all 0: only a person scales.
struct Scale {
  std::uint32_t cpu_percent = 0;  // of one CPU, for each replica
  std::uint32_t in_flight = 0;    // requests for each replica, with those that wait for one
  std::uint32_t queue = 0;        // requests that wait for a connection, in the whole pool
  Milliseconds up_after{15'000};
  Milliseconds down_after{300'000};
  bool dry_run = false;  // only says what it would do
  [[nodiscard]] bool is_on() const { return cpu_percent + in_flight + queue > 0; }
  friend bool operator==(const Scale&, const Scale&) = default;
};

// A local program that the supervisor keeps running, as `replicas_min` to `replicas_max` processes.
struct Service {
  std::string name;                  // unique; letters, digits, `-`, `_`, `.`
  std::vector<std::string> command;  // never empty; {port} and {replica} stand in any word
  std::uint32_t replicas_min = 1;    // at start; 0 = none until scaled
  std::uint32_t replicas_max = 1;
  Scale scale;
  PortRange ports;                    // one for each replica, and for a start-first change
  std::optional<std::size_t> pool;    // index into Model::pools: replicas join it
  Health health;                      // kind off: not probed
  Milliseconds start_period{30'000};  // in which failed probes do not count
  Restart restart;
  Stop stop;
  ServiceLimits limits;
  ServiceLog log;
  std::string user;                                              // empty = the supervisor's own
  std::string working_directory;                                 // empty = the supervisor's own
  std::vector<std::pair<std::string, std::string>> environment;  // besides PATH, HOME and the like
  friend bool operator==(const Service&, const Service&) = default;
};

}  // namespace portunus::conf
