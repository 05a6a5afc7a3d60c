// One-byte ids of the header names that the proxy knows, so that looking a field up is a memchr
// over bytes and hop-by-hop hygiene is a table look-up. Unknown names have HeaderId::other and keep
// their text. All names are lower case inside the program. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace portunus::http {

// In the order of the names in header_id.cc (checked by a test). `removed` marks a deleted field.
enum class HeaderId : std::uint8_t {
  other = 0,
  removed = 1,
  accept = 2,
  accept_encoding,
  accept_language,
  authorization,
  cache_control,
  connection,
  content_encoding,
  content_length,
  content_type,
  cookie,
  date,
  etag,
  expect,
  expires,
  forwarded,
  host,
  http2_settings,
  if_match,
  if_modified_since,
  if_none_match,
  if_range,
  if_unmodified_since,
  keep_alive,
  last_modified,
  location,
  origin,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  proxy_status,
  range,
  referer,
  retry_after,
  sec_websocket_accept,
  sec_websocket_extensions,
  sec_websocket_key,
  sec_websocket_protocol,
  sec_websocket_version,
  server,
  set_cookie,
  te,
  trailer,
  transfer_encoding,
  upgrade,
  user_agent,
  vary,
  via,
  www_authenticate,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_port,
  x_forwarded_proto,
  x_real_ip,
  x_request_id,
  count,
};

// The ids of a section as a set of bits, so that many questions cost one pass.
static_assert(static_cast<unsigned>(HeaderId::count) <= 64);
[[nodiscard]] constexpr std::uint64_t header_bit(HeaderId id) {
  return std::uint64_t{1} << static_cast<unsigned>(id);
}

// The id of a name in any case; `other` when unknown. O(1), no allocation.
[[nodiscard]] HeaderId header_id_of(std::string_view name);
// The lower-case name of a known id (static storage); empty for other and removed.
[[nodiscard]] std::string_view header_name_of(HeaderId id);
// Whether the field concerns one connection only and is never passed on (RFC 9110 section 7.6.1):
// connection, keep-alive, proxy-connection, te, transfer-encoding, upgrade, http2-settings. Trailer
// is not one of them, since trailers are passed on; proxy-authenticate and -authorization are
// judged by forwarding.cc.
[[nodiscard]] bool is_hop_by_hop(HeaderId id);

}  // namespace portunus::http
