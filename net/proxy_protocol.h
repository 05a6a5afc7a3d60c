// The PROXY protocol, versions 1 (a line of text) and 2 (binary): what stands in front of all other
// bytes of a connection and says whose it is. Here it is read, with bounds, and written; whose word is
// taken is for the caller to know. Pure but for the reader's memory; one thread. Sizes in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/chunk.h"
#include "net/address.h"

namespace portunus::net {

enum class ProxyVersion : std::uint8_t { none, v1, v2 };

struct ProxyHeader {
  enum class Step : std::uint8_t {
    more,    // good so far: `need` bytes are missing at least
    done,    // `size` bytes are the header
    failed,  // `failure` says why
  };
  // Longer headers are refused: version 1 as its definition has it; version 2 with what it carries
  // besides addresses.
  static constexpr std::size_t kLineMax = 107;
  static constexpr std::size_t kSizeMax = std::size_t{16} + 4096;

  Step step = Step::more;
  std::size_t need = 0;
  std::size_t size = 0;
  const char* failure = "";  // a literal
  // Not set when the header does not say, as with UNKNOWN and LOCAL: then the socket's are meant.
  Address source;
  Address destination;
};

// Of the bytes that a connection begins with.
[[nodiscard]] ProxyHeader read_proxy_header(std::span<const char> bytes);

// The same from bytes as they come. Holds memory only while a header is incomplete.
class ProxyHeaderReader {
 public:
  explicit ProxyHeaderReader(base::ChunkPool& chunks) : held_(chunks) {}

  // `taken`: how many of these bytes belong to the header; all of them unless it is done.
  [[nodiscard]] ProxyHeader feed(std::span<const char> bytes, std::size_t& taken);
  [[nodiscard]] bool has_begun() const { return !held_.empty(); }

 private:
  base::ChunkQueue held_;
};

// What write_proxy_header() may need.
inline constexpr std::size_t kProxyHeaderRoom = ProxyHeader::kLineMax;

// For a connection from `source`, who believes to speak with `destination` (not set: not known). Without
// a source: one of our own, such as a probe (UNKNOWN, LOCAL). The written size; 0 for
// ProxyVersion::none. `out` has kProxyHeaderRoom.
[[nodiscard]] std::size_t write_proxy_header(ProxyVersion version,
                                             const Address& source,
                                             const Address& destination,
                                             std::span<char> out);

}  // namespace portunus::net
