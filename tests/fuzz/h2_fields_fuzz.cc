// HTTP/2 heads as HPACK would hand them over: lines of the input are fields with whatever bytes stand
// in them. What h2_fields.h accepts becomes HTTP/1 bytes, and those must be one message, the same as
// it was: no field more, no other framing.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/framing.h"
#include "http/grammar.h"
#include "http/h1_parser.h"
#include "http/h1_writer.h"
#include "http/h2_fields.h"

using namespace portunus;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

// "name\x01value\x02name\x01value..."
template <typename Add>
void for_each_field(std::string_view text, Add add) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\x02'), text.size());
    const std::string_view field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t middle = std::min(field.find('\x01'), field.size());
    if (!add(field.substr(0, middle), field.substr(std::min(middle + 1, field.size())))) return;
  }
}

// A member reads what was written.
class Member final : public http::H1ParserSink {
 public:
  void on_message_head() override { ++heads; }
  void on_message_body(std::span<const char> /*bytes*/) override { std::abort(); }
  int heads = 0;
};

void check_as_h1(const http::Head& head, base::ChunkPool& pool) {
  http::WireHead wire;
  if (head.body == http::BodyKind::length) {
    wire.framing = http::WireFraming::content_length;
    wire.content_length = head.content_length;
  } else if (head.body == http::BodyKind::unknown) {
    wire.framing = http::WireFraming::chunked;
  }
  std::string bytes(http::head_size_bound(head), '\0');
  bytes.resize(http::write_request_head(head, wire, bytes));
  demand(!bytes.empty());

  base::Arena arena(pool);
  http::Head read;
  read.arena = &arena;
  read.clear();
  http::H1Parser parser;
  Member member;
  http::MessageLimits limits;
  limits.header_bytes = limits.uri_bytes = 1 << 20;
  limits.header_count = 128;
  parser.start_request(arena, read, member, limits);
  const auto progress = parser.feed(bytes);
  demand(progress.consumed == bytes.size() && member.heads == 1);
  demand(progress.result != http::H1Parser::Result::failed);
  demand(read.method_text == head.method_text && read.path == head.path);
  demand(read.query == head.query && read.has_query == head.has_query);
  demand(read.authority == head.authority && read.host == head.host);
  demand(read.upgrade == head.upgrade);
  const bool has_body = head.body == http::BodyKind::unknown ||
                        (head.body == http::BodyKind::length && head.content_length > 0);
  demand((read.body != http::BodyKind::none) == has_body);
  if (has_body) demand(read.content_length == head.content_length);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  base::ChunkPool pool;
  base::Arena arena(pool);
  http::MessageLimits limits;
  limits.header_bytes = (data[0] & 2) != 0 ? 256 : 8192;
  limits.header_count = 20;
  http::H2FieldReader reader;
  const bool ends = (data[0] & 1) != 0;
  if ((data[0] & 4) != 0) {
    http::HeaderBlock trailers;
    reader.start_trailers(trailers, arena, limits, base::Side::client);
    for_each_field(text, [&](auto name, auto value) { return reader.add(name, value); });
    if (reader.finish(ends).is_error()) return 0;
    for (std::size_t i = 0; i < trailers.size(); ++i) {
      if (trailers.is_removed(i)) continue;
      demand(http::is_token(trailers.field(i).name()));
      demand(http::is_field_value(trailers.field(i).value()));
      demand(trailers.id(i) != http::HeaderId::content_length);
    }
    return 0;
  }
  http::Head head;
  head.arena = &arena;
  head.clear();
  reader.start_head(head, limits);
  for_each_field(text, [&](auto name, auto value) { return reader.add(name, value); });
  const auto error = reader.finish(ends);
  if (error.is_error()) {
    demand(error.side == base::Side::client && base::status_of(error.reason) >= 400);
    return 0;
  }
  demand(head.protocol == http::Protocol::http2 && !head.authority.empty());
  demand(head.fields.count(http::HeaderId::host) == 1);
  demand(head.fields.count(http::HeaderId::cookie) <= 1);
  demand(!head.fields.has(http::HeaderId::transfer_encoding));
  demand(!head.fields.has(http::HeaderId::connection));
  demand(head.upgrade == head.fields.has(http::HeaderId::upgrade));
  demand(!ends || head.body == http::BodyKind::none);
  check_as_h1(head, pool);
  return 0;
}
