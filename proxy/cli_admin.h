// The commands that ask a running proxy over its admin interface: reload, status, pools, explain,
// certificates, drain, enable, disable, weight, healthcheck. Each makes one request on a loop of its own and waits for it, bounded by the
// time-out. The admin interface's token is that of PORTUNUS_ADMIN_TOKEN, or else of the file; it is
// never printed. One thread.
#pragma once

#include <chrono>
#include <cstdint>
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
[[nodiscard]] int show_certificates(const AdminCall& call, CliOutput& output);

// `question` is the body of POST /v1/routes/explain.
[[nodiscard]] int explain_request(const AdminCall& call, std::string question, CliOutput& output);

struct MemberCall {
  std::string pool;
  std::string member;                 // host:port
  const char* verb = "enable";        // drain, disable, weight
  std::uint32_t weight = 0;           // for `weight`; 0 = the configuration's
  std::chrono::milliseconds wait{0};  // until nothing is in flight there; 0 = not at all
};
[[nodiscard]] int order_member(const AdminCall& call, const MemberCall& wanted, CliOutput& output);

[[nodiscard]] int check_health(const AdminCall& call, CliOutput& output);

}  // namespace portunus::proxy
