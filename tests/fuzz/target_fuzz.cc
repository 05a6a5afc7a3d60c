// Request-targets from any bytes: what is accepted is in normal form, normalising it again changes
// nothing, and no dot segment is left in any reading that a member could have.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/grammar.h"
#include "http/target.h"

using namespace portunus;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  base::ChunkPool pool;
  base::Arena arena(pool);
  http::Head head;
  if (http::parse_target(text, head, arena).is_error()) return 0;
  if (head.path == "*") return 0;
  demand(!head.path.empty() && head.path.front() == '/');
  demand(head.path.find("//") == std::string_view::npos);
  std::string decoded;
  for (std::size_t i = 0; i < head.path.size(); ++i) {
    const char c = head.path[i];
    demand(c > 0x20 && c < 0x7f && c != '#' && c != '?' && c != '\\');
    if (c != '%') {
      decoded += c;
      continue;
    }
    demand(i + 2 < head.path.size());
    const int byte = http::hex_value(head.path[i + 1]) * 16 + http::hex_value(head.path[i + 2]);
    demand(byte > 0 && !http::is_in(static_cast<char>(byte), http::kUnreservedChar));
    decoded += byte == '\\' ? '/' : static_cast<char>(byte);
    i += 2;
  }
  decoded += '/';
  demand(decoded.find("/../") == std::string::npos);
  demand(head.path.find("/./") == std::string_view::npos);
  demand(decoded.find("/..;") == std::string::npos);
  const auto again = http::normalise_path(head.path, arena);
  demand(again.has_value() && *again == head.path);
  return 0;
}
