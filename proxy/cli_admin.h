// The commands that ask a running proxy over its admin interface: reload, status, pools,
// healthcheck. Each makes one request on a loop of its own and waits for it, bounded by the
// time-out. One thread.
#pragma once

#include <chrono>
#include <string>

#include "proxy/cli.h"

namespace portunus::proxy {

// Where the running proxy is, how long to wait, how to print.
struct AdminCall {
  std::string config_file;  // to find the address in, or empty
  std::string address;      // goes before the file
  std::chrono::milliseconds timeout{5'000};
  bool as_json = false;
};

[[nodiscard]] int reload_config(const AdminCall& call, CliOutput& output);
[[nodiscard]] int show_status(const AdminCall& call, CliOutput& output);
[[nodiscard]] int show_pools(const AdminCall& call, const std::string& pool, CliOutput& output);
[[nodiscard]] int check_health(const AdminCall& call, CliOutput& output);

}  // namespace portunus::proxy
