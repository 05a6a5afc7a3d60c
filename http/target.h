// The request-target (RFC 9112 section 3.2) and the one path normalisation, used for matching and
// for what goes upstream alike, so that the proxy and a member cannot see two different paths:
//   unreserved characters are decoded (%41 -> A), other escapes stay, with upper-case digits;
//   an encoded slash or backslash stays encoded and separates nothing, but ".." beside one is
//   refused; dot segments (also as %2e) are removed, ".." above the root is refused; "//" becomes
//   "/";
//   "..;" is refused, because servlet containers read it as "..".
// Pure functions; new text goes to the arena; errors are on the client's side.
#pragma once

#include <expected>
#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"

namespace portunus::http {

// Fills scheme, authority (absolute form only: as sent, judged by framing.h), path, query,
// has_query. `raw` must live as long as the head: a path that is plain already stays a slice of it.
// head.method is set. CONNECT's authority form is left to framing.h, which refuses the method.
[[nodiscard]] base::Error parse_target(std::string_view raw, Head& head, base::Arena& arena);

// The path alone, without query; begins with '/'.
[[nodiscard]] std::expected<std::string_view, base::Error> normalise_path(std::string_view raw,
                                                                          base::Arena& arena);

}  // namespace portunus::http
