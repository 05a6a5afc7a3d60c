// Who may use the admin interface. Web pages cannot drive it through a visitor's browser: the Host
// must be this machine (DNS rebinding), and what changes something must not come from another site.
// Other users of the machine need the token, if there is one. Pure functions.
#pragma once

#include <string_view>

#include "http/message.h"

namespace portunus::conf {
struct Admin;
}  // namespace portunus::conf

namespace portunus::proxy {

// Whether `host` (a name or an IP address, IPv6 with or without brackets) is this machine's
// loopback.
[[nodiscard]] bool is_loopback_host(std::string_view host);

// Why the request is refused with 403, or an empty view. `listen_host` is the address as
// configured.
[[nodiscard]] std::string_view find_foreign_sign(const http::Head& request,
                                                 std::string_view listen_host);

// Whether it is one request of those that `config` asks a token for, and does not have it: to be
// refused with 401. `is_probe`: it asks for life or readiness only. A wrong token of the right
// length takes as long as the right one, wherever it differs.
[[nodiscard]] bool lacks_token(const http::Head& request, bool is_probe, const conf::Admin& config);

}  // namespace portunus::proxy
