// What the client connections of one listener share on one thread. Settings may change while
// connections live (reload); they take effect at the next use. Outlives its connections.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/slab.h"
#include "http/h2_limits.h"
#include "http/inbound.h"
#include "http/stream.h"
#include "net/address.h"
#include "net/loop.h"

struct ssl_ctx_st;

namespace portunus::http {

class ServerConnection;
struct H2Shared;

class ServerConnectionOwner {
 public:
  // The socket is closed; the owner ends the object.
  virtual void on_connection_gone(ServerConnection& connection) = 0;
  // The outcome of a TLS handshake that took so long; `failure` is empty when hands are shaken.
  virtual void on_handshake(ServerConnection& /*connection*/,
                            std::string_view /*failure*/,
                            std::uint64_t /*duration_ns*/) {}
  // A peer that has to say whose connection it is has not, and it ends.
  virtual void on_no_proxy_header(ServerConnection& /*connection*/, std::string_view /*why*/) {}

 protected:
  ~ServerConnectionOwner() = default;
};

struct ServerContext {
  net::Loop& loop;
  base::Slab<Inbound>& inbounds;
  StreamAcceptor& acceptor;
  ServerConnectionOwner& owner;
  MessageLimits limits;
  std::uint64_t requests_max = 10000;  // per connection
  std::uint64_t headers_ms = 10'000;   // for a whole head, from its first byte or from accepting
  std::uint64_t body_ms = 30'000;      // between two reads of a body
  std::uint64_t body_least = 0;        // bytes of a body in body_ms, but for the first; 0 = any
  std::uint64_t write_ms = 30'000;     // without any progress of a blocked write
  std::uint64_t keep_alive_ms = 60'000;
  ssl_ctx_st* tls = nullptr;  // null: in the clear. For connections to come
  // Whose connections begin with a PROXY header, each of them; null: nobody's. For those to come.
  const net::CidrSet* proxies = nullptr;
  bool is_draining = false;  // every answer says `connection: close`
  bool is_crowded = false;   // the same, and nobody idles: others wait for descriptors
  H2Shared* h2 = nullptr;    // null: HTTP/2 is not spoken. Stays as long as there are connections
  H2Counts h2_counts{};      // taken away by who reports them
  bool has_h1 = true;        // false: HTTP/2 alone, known beforehand
  bool has_h2 = true;  // in the clear: beside HTTP/1, by its first bytes; with TLS ALPN says it
};

}  // namespace portunus::http
