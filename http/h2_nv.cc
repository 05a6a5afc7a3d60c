#include "http/h2_nv.h"

#include <algorithm>
#include <charconv>

#include "http/date.h"
#include "http/h2_connect.h"

namespace portunus::http {
namespace {

constexpr std::uint64_t kNotOfHttp2 =
    header_bit(HeaderId::removed) | header_bit(HeaderId::connection) |
    header_bit(HeaderId::keep_alive) | header_bit(HeaderId::proxy_connection) |
    header_bit(HeaderId::transfer_encoding) | header_bit(HeaderId::upgrade) |
    header_bit(HeaderId::http2_settings) | header_bit(HeaderId::te) |
    header_bit(HeaderId::content_length);

}  // namespace

void put_response(const Head& head, bool says_length, H2HeadTexts& texts, H2NameValues& out) {
  const bool is_upgrade = head.status == 101;
  const unsigned status = is_upgrade ? 200 : head.status;
  texts.status[0] = static_cast<char>('0' + status / 100);
  texts.status[1] = static_cast<char>('0' + status / 10 % 10);
  texts.status[2] = static_cast<char>('0' + status % 10);
  out.add(":status", {texts.status, 3});
  const bool is_interim = head.is_interim();
  if (!is_interim && !head.fields.has(HeaderId::date)) out.add("date", date_now());
  for (std::size_t i = 0; i < head.fields.size(); ++i) {
    const HeaderId id = head.fields.id(i);
    if ((kNotOfHttp2 & header_bit(id)) != 0 || (is_upgrade && is_of_upgrade(id))) continue;
    out.add(head.fields.field(i).name(), head.fields.field(i).value());
  }
  if (says_length) {
    char* const end =
        std::to_chars(texts.length, texts.length + sizeof texts.length, head.content_length).ptr;
    out.add("content-length", {texts.length, static_cast<std::size_t>(end - texts.length)});
  }
}

// RFC 9113 section 8.3.1
bool put_request(const Head& head,
                 std::string_view scheme,
                 std::span<char> memory,
                 H2NameValues& out) {
  constexpr std::size_t kDigits = 20;
  if (memory.size() < head.path.size() + 1 + head.query.size() + kDigits) return false;
  out.add(":method", head.method_text);
  out.add(":scheme", scheme);
  const std::string_view host = head.fields.value_of(HeaderId::host);
  if (!host.empty()) out.add(":authority", host);
  char* at = std::ranges::copy(head.path, memory.data()).out;
  if (head.has_query) {
    *at++ = '?';
    at = std::ranges::copy(head.query, at).out;
  }
  out.add(":path", {memory.data(), at});
  // "trailers" is all that it may say by now (forwarding.h), and members of gRPC insist on it.
  constexpr std::uint64_t kDropped =
      (kNotOfHttp2 & ~header_bit(HeaderId::te)) | header_bit(HeaderId::host);
  for (std::size_t i = 0; i < head.fields.size(); ++i) {
    if ((kDropped & header_bit(head.fields.id(i))) != 0) continue;
    out.add(head.fields.field(i).name(), head.fields.field(i).value());
  }
  if (head.body == BodyKind::length) {
    char* const end = std::to_chars(at, at + kDigits, head.content_length).ptr;
    out.add("content-length", {at, end});
  }
  return true;
}

}  // namespace portunus::http
