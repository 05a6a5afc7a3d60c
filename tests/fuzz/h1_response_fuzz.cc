// Responses from any bytes: no crash, nothing taken that was not given, one outcome however the
// bytes are cut. The first byte chooses the cut, the second the request that is answered.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "http/h1_writer.h"
#include "tests/unit/http/h1_replay.h"

using namespace portunus;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

struct Run {
  http::H1Replay replay{{.header_bytes = 2048, .header_count = 20, .uri_bytes = 512}};
  Run(std::uint8_t request, std::string_view text, std::size_t step, std::size_t cut) {
    replay.request_method = (request & 1) != 0 ? http::Method::head : http::Method::get;
    replay.upgrade_asked = (request & 2) != 0;
    replay.run(false, text, step, cut);
    if ((request & 4) != 0 && replay.result == http::H1Parser::Result::need_more) replay.finish();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Run whole(data[1], text, 0, 0);
  demand(!whole.replay.overrun && whole.replay.consumed <= text.size());
  demand(Run(data[1], text, 0, data[0]).replay.describe() == whole.replay.describe());
  demand(Run(data[1], text, 1, 0).replay.describe() == whole.replay.describe());

  if (whole.replay.result == http::H1Parser::Result::complete) {
    std::string out(http::head_size_bound(whole.replay.head), '\0');
    demand(http::write_response_head(whole.replay.head, {}, out) > 0);
    const http::Head& head = whole.replay.head;
    demand(head.status >= 100 && head.status <= 599);
    demand(head.status >= 200 || whole.replay.body.empty());
    demand((head.status != 204 && head.status != 304) || whole.replay.body.empty());
    demand(head.body != http::BodyKind::length || whole.replay.body.size() == head.content_length);
  }
  return 0;
}
