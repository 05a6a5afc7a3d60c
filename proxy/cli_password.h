// `portunus password`: the hash of a password for `basic_auth`. One thread.
#pragma once

#include "proxy/cli.h"

namespace portunus::proxy {

inline constexpr const char* kPasswordHelp =
    "Reads one line from standard input; on a terminal it asks, and does not show what is typed.\n"
    "\n"
    "Example:\n"
    "  portunus password\n"
    "  pwgen 20 1 | tee /dev/tty | portunus password\n"
    "Then in the configuration:\n"
    "  basic_auth: { users: { alice: \"$2b$10$...\" } }\n";

// The exit status.
[[nodiscard]] int print_password_hash(CliOutput& output);

}  // namespace portunus::proxy
