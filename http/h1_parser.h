// llhttp into a Head, body slices and trailers, for either direction. Copies the head's bytes once into
// the arena, judges the message by framing.h when its head is complete, and stops at the end of each
// message, so that its user decides what to do with the bytes behind it (pipelining, tunnels). RFC 9112.
// Owned by Inbound. One thread. Never throws; every failure is a base::Error that names the rule.
#pragma once

#include <llhttp.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/message.h"

namespace portunus::http {

// Bounds on what a peer may send; 0 never means "none" except for nothing here. Bytes.
struct MessageLimits {
  std::uint32_t header_bytes = 32 * 1024;  // request or status line and all fields
  std::uint32_t header_count = 100;        // fields; at most HeaderBlock::kCapacity - 16
  std::uint32_t uri_bytes = 8 * 1024;      // request-target
};

// Where the events of a message go. Implemented by H1Server and H1Client.
class H1ParserSink {
 public:
  // The head is complete and judged acceptable. For interim responses too.
  virtual void on_message_head() = 0;
  virtual void on_message_body(std::span<const char> bytes) = 0;

 protected:
  ~H1ParserSink() = default;
};

class H1Parser {
 public:
  enum class Result : std::uint8_t {
    need_more,  // all bytes taken, the message goes on
    complete,   // the message has ended; `consumed` bytes belonged to it
    upgraded,   // head (and body) ended and the rest of the connection is no longer HTTP/1
    failed,     // error() tells why
    stopped,    // stop() was called from within an event
  };
  struct Progress {
    Result result;
    std::size_t consumed;
  };

  // Begins a message. The arena and head are those of the same Inbound; `limits` outlives the message.
  // trailers() shares the arena.
  void start_request(base::Arena& arena, Head& head, H1ParserSink& sink,
                     const MessageLimits& limits);
  // `request_method`: of the request that it answers (HEAD and CONNECT change the framing).
  // `upgrade_asked`: whether a 101 is acceptable.
  void start_response(base::Arena& arena, Head& head, H1ParserSink& sink,
                      const MessageLimits& limits, Method request_method, bool upgrade_asked);
  // Feeds bytes. An interim response (1xx but 101) ends with `complete`: start_response() again.
  [[nodiscard]] Progress feed(std::span<const char> bytes);
  // The peer closed its side: complete for a body that lasts until close, else failed.
  [[nodiscard]] Result finish();
  // Called from an event: feed() returns `stopped` soon after, no further event comes.
  void stop();

  // True once the first byte of the message has been seen.
  [[nodiscard]] bool has_begun() const;
  [[nodiscard]] bool has_head() const;
  [[nodiscard]] const base::Error& error() const;
  // Fields after a chunked body; empty when none came. Valid from `complete` on.
  [[nodiscard]] const HeaderBlock* trailers() const;
  // Whether the peer keeps the connection open after this message (RFC 9112 section 9.3).
  [[nodiscard]] bool keeps_alive() const;
};

}  // namespace portunus::http
