// Heads as a parser without any rules would hand them over: lines of the input are fields with
// whatever bytes stand in them. What framing.h accepts must hold the rules that the rest relies on,
// and forwarding.h must leave it so.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "http/forwarding.h"
#include "http/framing.h"
#include "http/grammar.h"
#include "http/h1_writer.h"

using namespace portunus;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

void fill(http::HeaderBlock& fields, std::string_view text, base::Arena& arena) {
  while (!text.empty() && fields.size() < 40) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t colon = std::min(line.find(':'), line.size());
    std::string name(line.substr(0, colon));
    for (char& c : name)
      c = http::to_lower(c);
    const std::string_view value = line.substr(std::min(colon + 1, line.size()));
    fields.add(arena.copy(name), arena.copy(http::trim_ows(value)));
  }
}

void check_fields(const http::HeaderBlock& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields.is_removed(i)) continue;
    demand(http::is_token(fields.field(i).name()));
    for (const char c : fields.field(i).value())
      demand(http::is_value_char(c));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  base::ChunkPool pool;
  base::Arena arena(pool);
  http::Head head;
  head.protocol = (data[0] & 1) != 0 ? http::Protocol::http10 : http::Protocol::http11;
  head.method_text = "GET";
  head.path = "/";
  fill(head.fields, text, arena);
  const bool is_request = (data[0] & 2) == 0;
  if (is_request && (data[0] & 4) != 0) head.authority = "A.example:80";
  head.status = 200;

  if (!is_request) {
    const auto error = http::judge_response(head, http::Method::get, false);
    if (error.is_error()) {
      demand(error.reason == base::EndReason::upstream_protocol);
      return 0;
    }
    check_fields(head.fields);
    demand(http::forward_response(head, arena));
    check_fields(head.fields);
    return 0;
  }
  const auto error = http::judge_request(head, arena);
  if (error.is_error()) {
    demand(error.side == base::Side::client && base::status_of(error.reason) >= 400);
    return 0;
  }
  check_fields(head.fields);
  demand(head.fields.count(http::HeaderId::host) <= 1);
  demand(head.fields.count(http::HeaderId::content_length) <= 1);
  demand(!head.fields.has(http::HeaderId::content_length) ||
         !head.fields.has(http::HeaderId::transfer_encoding));
  demand(head.authority.find('@') == std::string_view::npos);
  const http::Sender sender{"2001:db8::1", "10.0.0.1",         "http",
                            "id",          (data[0] & 8) != 0, (data[0] & 16) != 0};
  const std::string_view client =
      http::find_client(head.fields, "10.0.0.9", [](std::string_view) { return true; }).text;
  for (const char c : client)
    demand(c == '.' || c == ':' || http::hex_value(c) >= 0);
  demand(http::forward_request(head, sender, arena));
  check_fields(head.fields);
  demand(head.fields.count(http::HeaderId::x_request_id) == 1);
  demand(!head.fields.has(http::HeaderId::connection));
  std::string out(http::head_size_bound(head), '\0');
  demand(http::write_request_head(head, {}, out) > 0);
  demand(http::write_request_head(head, {}, std::span<char>(out).first(20)) == 0);
  return 0;
}
