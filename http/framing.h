// What makes a complete head acceptable, whatever parser it came from: names and values, Host, the
// rules of Content-Length and Transfer-Encoding, Expect, Upgrade (RFC 9110, RFC 9112 section 6;
// every row of THREATS.md section 1). Strict on purpose: what one party could read in two ways is
// refused, never repaired. Fills in the fields of Head that follow from it. Errors of requests are
// on the client's side with a status of their own, those of responses are upstream_protocol. Pure;
// any thread.
#pragma once

#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"

namespace portunus::http {

// Sets body, content_length, expects_continue, upgrade, upgrade_token, authority, host. Method,
// target (parse_target) and protocol are set already; of HTTP/2 also whether a body follows (none or
// unknown), for there the fields do not tell. Removes: fields whose name is a known one
// spelt with
// '_' or '.' (some members fold them), Upgrade where it is not an offer, h2c, HTTP2-Settings, and
// an Expect that has nothing to wait for. Rewrites Host after an absolute-form target.
[[nodiscard]] base::Error judge_request(Head& head, base::Arena& arena);

// Sets body, content_length, upgrade, upgrade_token. `request_method` is that of the request that
// it answers. A body of kind `unknown` is chunked when is_chunked(), else it lasts until the close.
[[nodiscard]] base::Error judge_response(Head& head, Method request_method, bool upgrade_asked);

// Removes what must not come so late: framing, routing and authentication (RFC 9110 section 6.5.1).
[[nodiscard]] base::Error judge_trailers(HeaderBlock& trailers, base::Side side);

// Of a judged head: whether Transfer-Encoding frames its body.
[[nodiscard]] inline bool is_chunked(const Head& head) {
  return head.body == BodyKind::unknown && head.fields.has(HeaderId::transfer_encoding);
}

// Whether the connection stays open after this message, as far as the head says (RFC 9112
// section 9.3).
[[nodiscard]] bool keeps_alive(const Head& head);

// Whether a field of this id, which is a list of tokens, holds `token` (lower case) in any case.
[[nodiscard]] bool has_token(const HeaderBlock& fields, HeaderId id, std::string_view token);

}  // namespace portunus::http
