// PROXY headers from any bytes: in one piece or in many the same comes out, nothing behind the header
// is taken, bounds hold, and what was read is written and read again as the same.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "net/proxy_protocol.h"

using namespace portunus;
using Step = net::ProxyHeader::Step;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

void check_writing(const net::ProxyHeader& read) {
  for (const auto version : {net::ProxyVersion::v1, net::ProxyVersion::v2}) {
    std::array<char, net::kProxyHeaderRoom> out;  // NOLINT(*-member-init): written below
    const std::size_t size = net::write_proxy_header(version, read.source, read.destination, out);
    const net::ProxyHeader again = net::read_proxy_header({out.data(), size});
    demand(again.step == Step::done && again.size == size);
    demand(again.source == read.source && again.destination == read.destination);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The first byte says how large the pieces are.
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{data[0]} % 40 + 1;
  const std::span<const char> bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const net::ProxyHeader whole = net::read_proxy_header(bytes);
  demand(whole.step != Step::done || (whole.size > 0 && whole.size <= bytes.size()));
  demand(whole.step != Step::more || (whole.need > 0 && bytes.size() < net::ProxyHeader::kSizeMax));
  demand(whole.size <= net::ProxyHeader::kSizeMax);

  base::ChunkPool chunks;
  net::ProxyHeaderReader reader(chunks);
  std::size_t total = 0;
  net::ProxyHeader got;
  for (std::size_t at = 0; at < bytes.size() && got.step == Step::more; at += piece) {
    std::size_t taken = 0;
    got = reader.feed(bytes.subspan(at, std::min(piece, bytes.size() - at)), taken);
    total += taken;
  }
  demand(got.step == whole.step);
  if (whole.step != Step::done) return 0;
  demand(total == whole.size && got.source == whole.source && got.destination == whole.destination);
  demand(whole.source.is_set() == whole.destination.is_set());
  check_writing(whole);
  return 0;
}
