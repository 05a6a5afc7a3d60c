// Keeps web pages from driving the admin interface through a visitor's browser: the Host must be
// this machine (DNS rebinding), and what changes something must not come from another site. Pure
// functions.
#pragma once

#include <string_view>

#include "http/message.h"

namespace portunus::proxy {

// Whether `host` (a name or an IP address, IPv6 with or without brackets) is this machine's
// loopback.
[[nodiscard]] bool is_loopback_host(std::string_view host);

// Why the request is refused with 403, or an empty view. `listen_host` is the address as
// configured.
[[nodiscard]] std::string_view find_foreign_sign(const http::Head& request,
                                                 std::string_view listen_host);

}  // namespace portunus::proxy
