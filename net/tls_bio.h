// The BIO through which OpenSSL sees a socket: it reads from a slice that has been read already, and
// writes to the end of a queue. One thread each.
#pragma once

#include <span>

#include "base/chunk.h"

struct bio_st;

namespace portunus::net {

struct TlsWire {
  std::span<const char> in;  // what the peer sent and nobody has taken yet
  base::ChunkQueue* out;
};

// The wire outlives it. Null when memory is out.
[[nodiscard]] bio_st* make_tls_bio(TlsWire& wire);

}  // namespace portunus::net
