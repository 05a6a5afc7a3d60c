// One exchange's way to a member, whatever the protocol: what a pool lends to an attempt. Over
// HTTP/1 it is the connection itself, over HTTP/2 one stream of many. One thread.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/slab.h"
#include "http/h1_parser.h"
#include "http/inbound.h"
#include "http/stream.h"
#include "net/loop.h"

namespace portunus::http {

struct H2Shared;

// How long things may take, in milliseconds.
struct DialTimes {
  std::uint64_t connect_ms;
  std::uint64_t tls_ms;  // from the connection to the end of the handshake
};
inline constexpr base::Error kConnectTimeout{base::EndReason::upstream_connect,
                                             base::Side::upstream, base::Retry::unsent,
                                             "connect timed out"};
inline constexpr base::Error kTlsTimeout{base::EndReason::upstream_tls, base::Side::upstream,
                                         base::Retry::unsent, "the TLS handshake timed out"};

// Interim responses before the final one; more is a flood (THREATS.md section 1).
inline constexpr std::uint16_t kInterimHeadsMax = 16;

// What the connections to members of one thread share. Outlives them.
struct ClientContext {
  net::Loop& loop;
  base::Slab<Inbound>& inbounds;
  MessageLimits limits;
  H2Shared* h2 = nullptr;  // for H2Client
  // A member that owes an answer over HTTP/2 and is silent for so long is asked whether it is still
  // there, and has so long to say so.
  std::uint64_t silent_ms = 10'000;
  std::uint64_t ping_ms = 10'000;
};

class ClientStream : public Stream {
 public:
  // Begins the exchange: events go to `handler`; commands may follow at once. On a connection that
  // stands.
  virtual void begin(StreamHandler& handler) = 0;
  // When TLS began: the member's host had accepted the connection. Loop nanoseconds; 0 = it has not.
  [[nodiscard]] virtual std::uint64_t reached_ns() const = 0;
  // Of one that has been reset, on a connection that had stood before: whether the connection may have been
  // closed before the request was sent.
  [[nodiscard]] virtual bool may_have_been_stale() const = 0;
  // A mark of the owner's, such as who waits for this connection.
  void set_tag(void* tag) { tag_ = tag; }
  [[nodiscard]] void* tag() const { return tag_; }

 protected:
  ~ClientStream() = default;

 private:
  void* tag_ = nullptr;
};

}  // namespace portunus::http
