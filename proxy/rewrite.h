// The path that goes to the member (strip_prefix, rewrite) and the target of a redirect. What comes
// from the client never gets out of its place: controls, spaces, `\`, `?`, `#` and bytes beyond
// ASCII are percent-encoded, slashes do not double where parts meet, dot segments do not arise.
// Results are views into the arguments or into the arena. Any thread.
#pragma once

#include <string_view>

#include "base/arena.h"
#include "http/message.h"
#include "proxy/route.h"

namespace portunus::proxy {

// For a route that forwards. Begins with '/', except that the path "*" stays as it is; the query is
// not part of it.
[[nodiscard]] std::string_view upstream_path(const RouteMatch& match,
                                             const http::Head& request,
                                             base::Arena& arena);

// The value of Location, for a route that redirects. `scheme` is what the client used: "http" or
// "https". Empty when the target names {host} and the request has none (HTTP/1.0): that cannot be
// answered but by 400.
[[nodiscard]] std::string_view redirect_location(const RouteMatch& match,
                                                 const http::Head& request,
                                                 std::string_view scheme,
                                                 base::Arena& arena);

}  // namespace portunus::proxy
