// What a replica's process is started with: its command and environment with the port and number
// filled in, and a look whether the port can be had. Nothing of the supervisor's own environment
// goes to a service but PATH, LANG, TZ, TMPDIR and who the user is. Supervisor's thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "conf/model.h"
#include "supervisor/process.h"

namespace portunus::supervisor {

// The error is one line: no such user.
[[nodiscard]] std::expected<Launch, std::string> launch_of(const conf::Service& service,
                                                           std::uint32_t replica,
                                                           std::uint16_t port);

// Whether nobody listens there, on the loopback address or on all.
[[nodiscard]] bool is_port_free(std::uint16_t port);

// Whether a process of the one has to be replaced to become one of the other.
[[nodiscard]] bool needs_new_process(const conf::Service& from, const conf::Service& to);
// `from` with those settings of `to` that need no new process.
[[nodiscard]] conf::Service with_settings(const conf::Service& from, const conf::Service& to);

}  // namespace portunus::supervisor
