// The commands to the supervisor: services, scale, roll, start, stop, restart, logs, upgrade. They ask
// the running supervisor over its control socket; `logs` reads the files beside it. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "proxy/cli.h"

namespace portunus::proxy {

// Where the supervisor is, how long to wait, how to print.
struct ServiceCall {
  std::string config_file;  // to find the folder of the state in, or empty
  std::string socket;       // goes before the file
  std::chrono::milliseconds timeout{5'000};
  std::string service;
  bool as_json = false;
  bool waits = false;  // until what was asked for is so
};

struct LogCall {
  std::uint32_t lines = 50;  // of each replica
  std::optional<std::uint32_t> replica;
  bool follow = false;
};

[[nodiscard]] int show_services(const ServiceCall& call, CliOutput& output);
// This and the next one wait until it has happened only when they are to; they show how it goes.
[[nodiscard]] int scale_service(const ServiceCall& call, std::uint32_t replicas, CliOutput& output);
// "start", "stop" or "restart".
[[nodiscard]] int order_service(const ServiceCall& call, const char* verb, CliOutput& output);
// Shows how it goes until it is over.
[[nodiscard]] int roll_service(const ServiceCall& call, CliOutput& output);
// Another program in the place of the running one; shows how it goes until it is over.
[[nodiscard]] int upgrade_program(const ServiceCall& call, CliOutput& output);
[[nodiscard]] int show_logs(const ServiceCall& call, const LogCall& wanted, CliOutput& output);

}  // namespace portunus::proxy
