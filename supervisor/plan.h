// What the supervisor has to know of the configuration. It is read by a process of its own
// (`portunus plan`), which prints this as JSON and ends: no byte of a configuration is parsed by the
// supervisor, and the memory for a large one is soon given back. Plain values.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "conf/model.h"

namespace portunus::supervisor {

struct PlannedListener {
  std::string what;     // for messages: name and place in the file
  std::string address;  // "ip:port", looked up
  friend bool operator==(const PlannedListener&, const PlannedListener&) = default;
};

struct Plan {
  std::uint32_t resume_version = 0;  // resume.h, of the program that has made this
  std::string hash;                  // of the files
  std::uint32_t threads = 1;         // of the proxy
  std::vector<PlannedListener> listeners;
  std::string admin;            // "ip:port"; empty = off
  std::string user;             // of the proxy; empty = ours
  std::string state;            // folder; empty = the default
  bool has_authority = false;   // the proxy has one of its own, kept in that folder
  bool has_sticky_key = false;  // and what it signs cookies with
  bool has_discovery = false;   // and the lists that Consul has told
  conf::Log log;
  std::uint64_t announce_ms = 0;
  std::uint64_t drain_ms = 30'000;
  std::vector<conf::Service> services;
  friend bool operator==(const Plan&, const Plan&) = default;
};

[[nodiscard]] std::string encode(const conf::Service& service);
// Throws nlohmann's exceptions for what encode() has not made.
[[nodiscard]] conf::Service decode_service(std::string_view text);
[[nodiscard]] std::string encode(const Plan& plan);
[[nodiscard]] std::expected<Plan, std::string> decode_plan(std::string_view text);

}  // namespace portunus::supervisor
