// Requests from any bytes: no crash, nothing taken that was not given, one outcome however the
// bytes are cut, and what was accepted is the same message again after our own writer. The first
// byte chooses the cut.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/framing.h"
#include "http/h1_writer.h"
#include "tests/unit/http/h1_replay.h"

using namespace portunus;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

// The message as we would send it on.
std::string rewrite(const http::H1Replay& seen) {
  std::string text(http::head_size_bound(seen.head), '\0');
  http::WireHead wire;
  if (seen.head.body == http::BodyKind::length) {
    wire.framing = http::WireFraming::content_length;
    wire.content_length = seen.head.content_length;
  } else if (seen.head.body == http::BodyKind::unknown) {
    wire.framing = http::WireFraming::chunked;
  }
  text.resize(http::write_request_head(seen.head, wire, text));
  demand(!text.empty());
  if (wire.framing != http::WireFraming::chunked) return text + seen.body;
  if (!seen.body.empty()) {
    char header[http::kChunkHeaderMax];
    text.append(header, http::write_chunk_header(seen.body.size(), header));
    text += seen.body;
    text += http::kChunkEnd;
  }
  if (seen.parser.trailers() == nullptr) return text + std::string(http::kLastChunk);
  std::string trailers(64 * 1024, '\0');
  trailers.resize(http::write_trailers(*seen.parser.trailers(), trailers));
  demand(!trailers.empty());
  return text + trailers;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const http::MessageLimits limits{.header_bytes = 2048, .header_count = 20, .uri_bytes = 512};

  http::H1Replay whole(limits);
  whole.run(true, text, 0, 0);
  demand(!whole.overrun && whole.consumed <= text.size());
  http::H1Replay cut(limits);
  cut.run(true, text, 0, data[0]);
  http::H1Replay bytes(limits);
  bytes.run(true, text, 1, 0);
  demand(cut.describe() == whole.describe());
  demand(bytes.describe() == whole.describe());

  using Result = http::H1Parser::Result;
  if (whole.result != Result::complete && whole.result != Result::upgraded) return 0;
  if (whole.head.protocol == http::Protocol::http10) return 0;  // is sent on as HTTP/1.1
  const std::string sent = rewrite(whole);
  http::H1Replay again;
  again.run(true, sent, 0, 0);
  demand(again.result == whole.result && again.consumed == sent.size());
  demand(again.head.method_text == whole.head.method_text);
  demand(again.head.authority == whole.head.authority && again.head.host == whole.head.host);
  demand(again.head.path == whole.head.path && again.head.query == whole.head.query);
  demand(again.head.body == whole.head.body);
  demand(again.head.expects_continue == whole.head.expects_continue);
  demand(again.head.upgrade_token == whole.head.upgrade_token);
  demand(again.body == whole.body);
  const auto is_kept = [](http::HeaderId id) {
    return id != http::HeaderId::removed && id != http::HeaderId::connection &&
           id != http::HeaderId::keep_alive && id != http::HeaderId::proxy_connection &&
           id != http::HeaderId::transfer_encoding && id != http::HeaderId::content_length;
  };
  std::size_t at = 0;
  for (std::size_t i = 0; i < whole.head.fields.size(); ++i) {
    if (!is_kept(whole.head.fields.id(i))) continue;
    while (at < again.head.fields.size() && !is_kept(again.head.fields.id(at)))
      ++at;
    demand(at < again.head.fields.size());
    demand(again.head.fields.field(at).name() == whole.head.fields.field(i).name());
    demand(again.head.fields.field(at).value() == whole.head.fields.field(i).value());
    ++at;
  }
  return 0;
}
