#include "http/h2_nv.h"

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

}  // namespace portunus::http
