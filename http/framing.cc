#include "http/framing.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "http/grammar.h"
#include "http/identity_field.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

// Which known fields a section has, as bits, so that each rule costs one test when it is moot.
struct Seen {
  std::uint64_t once = 0;
  std::uint64_t twice = 0;
  [[nodiscard]] bool has(HeaderId id) const { return (once & header_bit(id)) != 0; }
  [[nodiscard]] bool has_two(HeaderId id) const { return (twice & header_bit(id)) != 0; }
};

Error fail(EndReason reason, const char* detail) {
  return {reason, Side::client, Retry::no, detail};
}

// Whether an unknown name becomes a known one when '_' and '.' are read as '-', which CGI and its
// descendants do: X_Forwarded_For would reach the application as X-Forwarded-For.
bool is_twin_of_known(std::string_view name) {
  std::array<char, 32> dashed;
  if (name.size() > dashed.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    dashed[i] = is_in(name[i], kFoldedChar) ? '-' : name[i];
  }
  return header_id_of({dashed.data(), name.size()}) != HeaderId::other;
}

// The grammar of names and values (RFC 9110 section 5). Null when it holds, else what is wrong. Of a
// client, what only we may say of it is removed.
const char* check_fields(HeaderBlock& fields, Side side, Seen& seen) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const HeaderId id = fields.id(i);
    if (id == HeaderId::removed) continue;
    const HeaderBlock::Field& field = fields.field(i);
    if (!is_field_value(field.value())) return "control character in a field value";
    if (id == HeaderId::other) {
      std::uint8_t all = field.name_size > 0 ? kTokenChar : 0;
      std::uint8_t any = 0;
      for (const char c : field.name()) {
        all &= class_of(c);
        any |= class_of(c);
      }
      if (all == 0) return "field name is not a token";
      if (((any & kFoldedChar) != 0 && is_twin_of_known(field.name())) ||
          (side == Side::client && is_identity_field(field.name()))) {
        fields.remove_at(i);
      }
      continue;
    }
    seen.twice |= seen.once & header_bit(id);
    seen.once |= header_bit(id);
  }
  return nullptr;
}

// 1*DIGIT below 2^63 (RFC 9110 section 8.6); a list of equal values is refused on purpose.
bool parse_length(std::string_view text, std::uint64_t& length) {
  if (text.empty() || text.size() > 19) return false;
  length = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return length <= std::uint64_t{INT64_MAX};
}

// The rules of RFC 9112 section 6 that hold in both directions. `coding_reason` is for a coding
// that is well formed but not ours.
Error check_length(Head& head, Seen seen) {
  const bool has_coding = seen.has(HeaderId::transfer_encoding);
  if (has_coding) {
    if (seen.has(HeaderId::content_length)) {
      return fail(EndReason::rejected_framing, "both Content-Length and Transfer-Encoding");
    }
    if (seen.has_two(HeaderId::transfer_encoding)) {
      return fail(EndReason::rejected_framing, "several Transfer-Encoding fields");
    }
    if (head.protocol == Protocol::http10) {
      return fail(EndReason::rejected_framing, "Transfer-Encoding in HTTP/1.0");
    }
    const std::string_view coding = head.fields.value_of(HeaderId::transfer_encoding);
    if (is_same_ignoring_case(coding, "chunked")) {
      head.body = BodyKind::unknown;
      return {};
    }
    if (is_token(coding)) {
      return fail(EndReason::rejected_transfer_coding, "transfer coding other than chunked");
    }
    return fail(EndReason::rejected_framing, "malformed Transfer-Encoding");
  }
  if (!seen.has(HeaderId::content_length)) return {};
  if (seen.has_two(HeaderId::content_length)) {
    return fail(EndReason::rejected_framing, "several Content-Length fields");
  }
  if (!parse_length(head.fields.value_of(HeaderId::content_length), head.content_length)) {
    return fail(EndReason::rejected_framing, "malformed Content-Length");
  }
  head.body = head.content_length > 0 ? BodyKind::length : BodyKind::none;
  return {};
}

// The length of the reg-name at the front of `text` (RFC 3986 section 3.2.2), escapes included.
std::size_t reg_name_size(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size()) {
    if (is_in(text[size], kHostChar)) {
      ++size;
      continue;
    }
    const bool is_escape = text[size] == '%' && size + 2 < text.size() &&
                           hex_value(text[size + 1]) >= 0 && hex_value(text[size + 2]) >= 0;
    if (!is_escape) break;
    size += 3;
  }
  return size;
}

bool is_ipv6(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> copy;
  if (text.size() >= copy.size()) return false;
  std::memcpy(copy.data(), text.data(), text.size());
  copy[text.size()] = '\0';
  in6_addr address;
  return std::memchr(text.data(), '\0', text.size()) == nullptr &&
         inet_pton(AF_INET6, copy.data(), &address) == 1;
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  unsigned port = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  return port <= 65535;
}

// An authority in parts (RFC 3986 section 3.2, without userinfo).
struct Authority {
  std::string_view text;  // without the colon of an empty port
  std::string_view host;  // with the brackets of an IPv6 literal taken off
  std::string_view port;
};

bool split_authority(std::string_view text, Authority& out) {
  std::size_t host_end = 0;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    out.host = text.substr(1, close - 1);
    if (!is_ipv6(out.host)) return false;
    host_end = close + 1;
  } else {
    host_end = reg_name_size(text);
    if (host_end == 0) return false;
    out.host = text.substr(0, host_end);
  }
  out.text = text;
  out.port = {};
  if (host_end == text.size()) return true;
  if (text[host_end] != ':') return false;
  out.port = text.substr(host_end + 1);
  if (out.port.empty()) {
    out.text = text.substr(0, host_end);
    return true;
  }
  return is_port(out.port);
}

std::string_view lower(std::string_view text, base::Arena& arena) {
  std::uint8_t any = 0;
  for (const char c : text)
    any |= class_of(c);
  if ((any & kUpperChar) == 0) return text;
  char* const copy = arena.take(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    copy[i] = to_lower(text[i]);
  return {copy, text.size()};
}

bool is_same_authority(const Authority& a, const Authority& b, std::string_view scheme) {
  const std::string_view usual = scheme == "https" ? "443" : "80";
  const std::string_view port_a = a.port.empty() ? usual : a.port;
  const std::string_view port_b = b.port.empty() ? usual : b.port;
  return a.host == b.host && port_a == port_b;
}

// RFC 9112 section 3.2. Of an absolute-form target the authority wins; a Host field that differs
// from it is refused all the same: RFC 9112 section 3.2.2 makes a proxy replace Host, but also
// makes a client send the two alike, so a difference is an attempt to be routed as one and served
// as another.
Error judge_host(Head& head, Seen seen, base::Arena& arena) {
  const bool has_host = seen.has(HeaderId::host);
  if (seen.has_two(HeaderId::host)) {
    return fail(EndReason::rejected_host, "several Host fields");
  }
  const bool is_needed = head.protocol == Protocol::http11 ||
                         (head.protocol == Protocol::http2 && head.authority.empty());
  if (!has_host && is_needed) {
    return fail(EndReason::rejected_host, "Host is missing");
  }
  Authority field;
  if (has_host && !split_authority(lower(head.fields.value_of(HeaderId::host), arena), field)) {
    return fail(EndReason::rejected_host, "Host is malformed");
  }
  Authority effective = field;
  if (!head.authority.empty()) {
    if (!split_authority(lower(head.authority, arena), effective)) {
      return fail(EndReason::rejected_target, "authority of the target is malformed");
    }
    if (has_host && !is_same_authority(effective, field, head.scheme)) {
      return fail(EndReason::rejected_host, "Host differs from the target's authority");
    }
    if (!has_host && !head.fields.add(HeaderId::host, effective.text)) {
      return fail(EndReason::rejected_header_size, "too many fields");
    }
    if (has_host) head.fields.set_value(head.fields.find(HeaderId::host), effective.text);
  }
  head.authority = effective.text;
  head.host = effective.host;
  // The absolute name "example.com." is the same host as "example.com".
  if (head.host.size() > 1 && head.host.back() == '.') head.host.remove_suffix(1);
  return {};
}

Error judge_expect(Head& head, Seen seen) {
  const std::string_view value = head.fields.value_of(HeaderId::expect);
  if (seen.has_two(HeaderId::expect) || !is_same_ignoring_case(value, "100-continue")) {
    return fail(EndReason::rejected_expect, "Expect other than 100-continue");
  }
  // RFC 9110 section 10.1.1: ignored in HTTP/1.0, and pointless without content.
  head.expects_continue = head.protocol != Protocol::http10 && head.body != BodyKind::none;
  if (!head.expects_continue) head.fields.remove(HeaderId::expect);
  return {};
}

bool is_upgrade_protocol(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_token(text);
  return is_token(text.substr(0, slash)) && is_token(text.substr(slash + 1));
}

// RFC 9110 section 7.8. One protocol is passed on: the first offered that is not HTTP itself. An
// offer of h2c would let a client speak past every rule of the proxy.
void judge_upgrade(Head& head, Seen seen) {
  head.fields.remove(HeaderId::http2_settings);
  if (!seen.has(HeaderId::upgrade)) return;
  if (head.protocol == Protocol::http11 && !seen.has_two(HeaderId::upgrade) &&
      has_token(head.fields, HeaderId::connection, "upgrade")) {
    const std::size_t at = head.fields.find(HeaderId::upgrade);
    std::string_view rest = head.fields.field(at).value();
    while (true) {
      const std::string_view offer = next_element(rest);
      if (offer.empty()) break;
      if (!is_upgrade_protocol(offer)) break;
      const std::string_view name = offer.substr(0, offer.find('/'));
      if (is_same_ignoring_case(name, "h2c") || is_same_ignoring_case(name, "h2") ||
          is_same_ignoring_case(name, "http")) {
        continue;
      }
      head.upgrade = true;
      head.upgrade_token = offer;
      head.fields.set_value(at, offer);
      return;
    }
  }
  head.fields.remove(HeaderId::upgrade);
}

Error upstream_error(const char* detail) {
  return {EndReason::upstream_protocol, Side::upstream, Retry::no, detail};
}

// RFC 9110 section 15.2.2
Error judge_switch(Head& head, bool upgrade_asked) {
  if (!upgrade_asked) return upstream_error("101 that was not asked for");
  if (!head.fields.has(HeaderId::upgrade) ||
      !has_token(head.fields, HeaderId::connection, "upgrade")) {
    return upstream_error("101 without Upgrade");
  }
  head.upgrade = true;
  head.upgrade_token = head.fields.value_of(HeaderId::upgrade);
  return {};
}

}  // namespace

bool has_token(const HeaderBlock& fields, HeaderId id, std::string_view token) {
  for (std::size_t i = fields.find(id); i != HeaderBlock::kNone; i = fields.find(id, i + 1)) {
    std::string_view rest = fields.field(i).value();
    for (auto word = next_element(rest); !word.empty(); word = next_element(rest)) {
      if (is_same_ignoring_case(word, token)) return true;
    }
  }
  return false;
}

bool keeps_alive(const Head& head) {
  if (!head.fields.has(HeaderId::connection)) return head.protocol != Protocol::http10;
  if (has_token(head.fields, HeaderId::connection, "close")) return false;
  return head.protocol != Protocol::http10 ||
         has_token(head.fields, HeaderId::connection, "keep-alive");
}

Error judge_request(Head& head, base::Arena& arena) {
  if (head.protocol != Protocol::http2) head.body = BodyKind::none;
  Seen seen;
  if (const char* wrong = check_fields(head.fields, Side::client, seen)) {
    return fail(EndReason::rejected_header, wrong);
  }
  if (head.method == Method::connect) {
    return fail(EndReason::rejected_method, "CONNECT is not served");
  }
  if (head.method == Method::trace) {
    return fail(EndReason::rejected_method, "TRACE is not served");
  }
  Error error = judge_host(head, seen, arena);
  if (!error.is_error()) error = check_length(head, seen);
  if (error.is_error()) return error;
  constexpr std::uint64_t kRare = header_bit(HeaderId::expect) | header_bit(HeaderId::upgrade) |
                                  header_bit(HeaderId::http2_settings);
  if ((seen.once & kRare) == 0) return {};
  judge_upgrade(head, seen);
  return seen.has(HeaderId::expect) ? judge_expect(head, seen) : Error{};
}

Error judge_response(Head& head, Method request_method, bool upgrade_asked) {
  head.body = BodyKind::none;
  Seen seen;
  if (const char* wrong = check_fields(head.fields, Side::upstream, seen))
    return upstream_error(wrong);
  if (!is_field_value(head.reason)) return upstream_error("control character in the status line");
  if (head.status < 100 || head.status > 599) return upstream_error("status out of range");
  const Error error = check_length(head, seen);
  if (error.is_error()) return upstream_error(error.detail);

  // RFC 9112 section 6.3
  const bool is_informational = head.status < 200;
  if (is_informational || head.status == 204) {
    // "Content-Length: 0" is forbidden here too, but harmless and in use.
    if (head.body != BodyKind::none) return upstream_error("body declared where none may be");
    if (head.status == 101) return judge_switch(head, upgrade_asked);
    return {};
  }
  if (request_method == Method::head || head.status == 304) {
    head.body = BodyKind::none;
    return {};
  }
  if (!seen.has(HeaderId::content_length) && !seen.has(HeaderId::transfer_encoding)) {
    head.body = BodyKind::unknown;
  }
  return {};
}

Error judge_trailers(HeaderBlock& trailers, Side side) {
  Seen seen;
  if (const char* wrong = check_fields(trailers, side, seen)) {
    if (side == Side::upstream) return upstream_error(wrong);
    return fail(EndReason::rejected_header, wrong);
  }
  if (seen.once == 0) return {};
  for (std::size_t i = 0; i < trailers.size(); ++i) {
    const HeaderId id = trailers.id(i);
    // ETag and Proxy-Status may come late (RFC 9110 section 8.8.3, RFC 9209 section 2); every other
    // known name has a meaning for which it would be too late.
    const bool may_stay = id == HeaderId::other || id == HeaderId::removed ||
                          id == HeaderId::etag || id == HeaderId::proxy_status;
    if (!may_stay) trailers.remove_at(i);
  }
  return {};
}

}  // namespace portunus::http
