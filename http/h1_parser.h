// llhttp into a Head, body slices and trailers, for either direction. Copies the head's bytes once
// into the arena, judges the message by framing.h when its head is complete, and stops at the end
// of each message, so that its user decides what to do with the bytes behind it (pipelining,
// tunnels). RFC 9112. Owned by Inbound. One thread. Never throws; every failure is a base::Error
// that names the rule.
#pragma once

#include <llhttp.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/chunk_decoder.h"
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

  // Begins a message. The arena and head are those of the same Inbound; `limits` outlives the
  // message. trailers() shares the arena.
  void start_request(base::Arena& arena,
                     Head& head,
                     H1ParserSink& sink,
                     const MessageLimits& limits);
  // What the answer is read for.
  struct Asked {
    Method method = Method::get;  // HEAD and CONNECT change the framing
    bool upgrade = false;         // whether a 101 is acceptable
  };
  void start_response(
      base::Arena& arena, Head& head, H1ParserSink& sink, const MessageLimits& limits, Asked asked);
  // Feeds bytes. An interim response (1xx but 101) ends with `complete`: start_response() again.
  [[nodiscard]] Progress feed(std::span<const char> bytes);
  // The peer closed its side: complete for a body that lasts until close, else failed.
  [[nodiscard]] Result finish();
  // Called from an event: feed() returns `stopped` soon after, no further event comes.
  void stop() { is_stopped_ = true; }

  // True once the first byte of the message has been seen.
  [[nodiscard]] bool has_begun() const {
    return offset_ > 0 || has_head_ || phase_ == Phase::failed;
  }
  [[nodiscard]] bool has_head() const { return has_head_; }
  [[nodiscard]] const base::Error& error() const { return error_; }
  // Fields after a chunked body; empty when none came. Valid from `complete` on.
  [[nodiscard]] const HeaderBlock* trailers() const { return trailers_; }
  // Whether the peer keeps the connection open after this message (RFC 9112 section 9.3).
  [[nodiscard]] bool keeps_alive() const { return keeps_alive_; }

 private:
  enum class Phase : std::uint8_t { head, length, chunks, trailers, until_close, done, failed };
  // Which field's or line's text is being gathered.
  enum class Part : std::uint8_t { none, target, reason, name, value };
  struct Callbacks;  // what llhttp calls

  void start(base::Arena& arena, Head& head, H1ParserSink& sink, const MessageLimits& limits);
  Progress feed_head(std::span<const char> bytes);
  Progress feed_body(std::span<const char> bytes, std::size_t consumed);
  Progress feed_trailers(std::span<const char> bytes, std::size_t consumed);
  // Runs llhttp over a head or trailer section; complete when the section has ended.
  Progress run(std::span<const char> bytes);
  std::size_t skip_empty_line(std::span<const char> bytes);
  bool take_head();
  bool start_trailers();
  Result end_message();
  Result fail(base::EndReason reason, const char* detail);
  Result fail_in_target(const char* at);
  [[nodiscard]] static bool is_http_method(std::uint8_t method);
  Result fail_as_llhttp(llhttp_errno_t code, const char* at);

  // Events of llhttp. Each returns what llhttp wants to hear: 0 to go on.
  int take_text(Part part, const char* at, std::size_t size);
  int take_target(const char* at, std::size_t size);
  int take_version(const char* at);
  int take_value(const char* at, std::size_t size);
  int take_name(const char* at, std::size_t size);
  void end_name();
  int end_value();
  int refuse(base::EndReason reason, const char* detail);
  [[nodiscard]] std::uint32_t offset_of(const char* at) const {
    return offset_ + static_cast<std::uint32_t>(at - feed_begin_);
  }
  [[nodiscard]] bool is_known_version() const {
    return llhttp_.http_major == 1 && llhttp_.http_minor <= 1;
  }
  void keep_text();
  [[nodiscard]] std::string_view settle_text();
  void drop_text() { text_size_ = text_capacity_ = 0; }

  llhttp_t llhttp_;
  base::Arena* arena_ = nullptr;
  Head* head_ = nullptr;
  H1ParserSink* sink_ = nullptr;
  const MessageLimits* limits_ = nullptr;
  HeaderBlock* fields_ = nullptr;    // of the section being parsed
  HeaderBlock* trailers_ = nullptr;  // in the arena
  base::Error error_;
  const char* feed_begin_ = nullptr;
  const char* feed_end_ = nullptr;
  // The text being gathered. Capacity 0: a slice of the bytes being fed, copied when they end
  // first.
  const char* text_ = nullptr;
  std::uint32_t text_size_ = 0;
  std::uint32_t text_capacity_ = 0;
  std::string_view target_;  // raw
  std::string_view name_;    // of the field whose value is being gathered
  std::uint64_t left_ = 0;   // of a body with a length
  ChunkDecoder chunks_;
  std::uint32_t offset_ = 0;     // bytes of this section before those being fed
  std::uint32_t line_at_ = 0;    // offset behind the request-target, later behind the field name
  char tail_[5] = {};            // last bytes of earlier feeds
  std::uint8_t empty_line_ = 0;  // bytes of the empty line that may precede a request
  HeaderId name_id_ = HeaderId::other;
  Phase phase_ = Phase::done;
  Part part_ = Part::none;
  Method request_method_ = Method::get;
  bool is_request_ = true;
  bool upgrade_asked_ = false;
  bool has_version_ = false;
  bool has_head_ = false;
  bool keeps_alive_ = false;
  bool is_stopped_ = false;
};

}  // namespace portunus::http
