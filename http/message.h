// One message head as the whole program sees it, whatever the protocol on the wire: the parsed
// request or response line, the fields, and how the body is framed. Views point into the message's
// arena. Not for connection management: keep-alive is the business of the protocol classes. One
// thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/header_block.h"

namespace portunus::base {
class Arena;
}  // namespace portunus::base

namespace portunus::http {

enum class Method : std::uint8_t {
  get,
  head,
  post,
  put,
  delete_,
  options,
  patch,
  trace,
  connect,
  other,  // a method that we pass on without knowing it (WebDAV and kin); text in Head::method_text
};

[[nodiscard]] std::string_view name_of(Method method);  // "GET"; "_OTHER" for other
[[nodiscard]] Method method_of(std::string_view text);  // exact case
// RFC 9110 section 9.2.2. `other` counts as not idempotent.
[[nodiscard]] bool is_idempotent(Method method);

// What the peer spoke, for logs, Via and metrics; no decision of exchange or attempt hangs on it.
enum class Protocol : std::uint8_t { http10, http11, http2 };
[[nodiscard]] std::string_view name_of(Protocol protocol);  // "HTTP/1.1"

enum class BodyKind : std::uint8_t {
  none,     // no body at all
  length,   // content_length bytes
  unknown,  // ends when the peer says so: chunked, until close, or an h2 stream's end
};

struct Head {
  // Request.
  Method method = Method::get;
  std::string_view method_text;  // as sent, e.g. "GET"
  std::string_view scheme;       // of an absolute-form target; empty in origin-form
  std::string_view authority;    // effective host[:port], lower case: target's authority, else Host
  std::string_view host;         // authority without port and without IPv6 brackets' port part
  std::string_view path;         // normalised path, begins with '/'; "*" for OPTIONS *
  std::string_view query;        // after '?', without it; has_query tells "/a?" from "/a"
  bool has_query = false;
  bool expects_continue = false;
  // Response.
  std::uint16_t status = 0;
  std::string_view reason;
  // Both.
  Protocol protocol = Protocol::http11;
  BodyKind body = BodyKind::none;
  std::uint64_t content_length = 0;
  // Request: asks to leave HTTP (Upgrade); response: a 101 that grants it. upgrade_token:
  // "websocket".
  bool upgrade = false;
  std::string_view upgrade_token;
  // Request: nothing but a 101 is success, as of a tunnel over HTTP/2 (RFC 8441).
  bool insists_on_upgrade = false;
  // Where the views point to; text that must live as long as the head may be added there.
  base::Arena* arena = nullptr;
  HeaderBlock fields;

  [[nodiscard]] bool is_interim() const { return status >= 100 && status < 200 && status != 101; }
  // Back to an empty head; the arena stays, the field arrays are not touched.
  void clear();
};

}  // namespace portunus::http
