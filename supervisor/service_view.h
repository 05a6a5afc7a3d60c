// What is shown of services: plain values that the supervisor fills, and their text on the way to the
// command line and to the proxy. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/replica_record.h"
#include "supervisor/service_scaling.h"

namespace portunus::supervisor {

class Service;

struct ReplicaView {
  std::uint32_t number = 0;
  std::uint32_t pid = 0;         // 0 = no process
  std::uint16_t port = 0;        // 0 = none
  std::string state;             // a word of ReplicaState
  std::uint64_t started_us = 0;  // of the present process, wall clock; 0 = none
  std::uint64_t next_start_us = 0;
  std::string waits_for;  // a word of ReplicaWait
  std::uint32_t restarts = 0;
  std::string last_reason;  // of the last failure or restart; empty = there was none
  std::uint64_t memory_bytes = 0;
  std::uint64_t cpu_us = 0;
};

struct ServiceView {
  std::string name;
  std::string state;  // of kServiceStates
  std::uint32_t desired = 0;
  std::uint32_t replicas_min = 0;
  std::uint32_t replicas_max = 0;
  bool is_rolling = false;
  std::string refusal;       // why the former definition runs, not the new one; empty = it does not
  std::string last_scaling;  // why `desired` is another number; empty = it is not
  ScalingCounts scalings;
  bool is_scaling = false;  // by its load; then those count
  RestartCounts restarts{};
  std::vector<ReplicaView> replicas;
};

// All replicas run; some do; none does; it was told to stop.
inline constexpr std::array<const char*, 4> kServiceStates{"up", "degraded", "down", "stopped"};

// Memory and CPU are read only when asked for.
[[nodiscard]] ServiceView view_of(const Service& service, bool with_usage);

// One line of JSON; an array.
[[nodiscard]] std::string encode_views(std::span<const ServiceView> views);
// Appends what it says to `views`: replicas of the last service there, when the first one goes on
// with them. False for what is none.
bool decode_views(std::string_view text, std::vector<ServiceView>& views);
// As encode_views(), in texts that fit into packets of a channel.
[[nodiscard]] std::vector<std::string> encode_in_parts(std::span<const ServiceView> views);

}  // namespace portunus::supervisor
