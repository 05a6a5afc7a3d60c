// `portunus logs`: the last lines of the files that the supervisor captures a service's output in, and
// the lines that come. Nobody is asked: it works on what a stopped supervisor has left, too. One
// thread; blocks while it follows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "proxy/cli.h"

namespace portunus::proxy {

struct WantedLogs {
  std::string folder;  // of SERVICE-REPLICA.log
  std::string service;
  std::optional<std::uint32_t> replica;
  std::uint32_t lines = 0;  // of each replica
  bool follow = false;      // until the output closes
};

// The exit status.
[[nodiscard]] int print_logs(const WantedLogs& wanted, CliOutput& output);

}  // namespace portunus::proxy
