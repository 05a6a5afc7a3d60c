// The fields of an HTTP/2 request or answer as a Head (RFC 9113 section 8): collects them one by one
// as HPACK gives them, holds the rules that only HTTP/2 has (lower-case names, pseudo-fields, no
// fields of the connection, cookie crumbs joined), and leaves the rest to target.h and framing.h,
// which judge every message. Does not rely on checks of nghttp2. A part of one stream; one thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "base/error.h"
#include "http/h1_parser.h"
#include "http/message.h"

namespace portunus::http {

class H2FieldReader {
 public:
  // Begins a request's head. The head is clear and its arena set; all outlive the section.
  void start_head(Head& head, const MessageLimits& limits);
  // The same of an answer to a request of this method, interim ones included. What is wrong with it,
  // and with the trailers behind it, is upstream_protocol.
  void start_answer(Head& head, const MessageLimits& limits, Method asked);
  // Begins the fields behind a body; `side` is whose.
  void start_trailers(HeaderBlock& trailers,
                      base::Arena& arena,
                      const MessageLimits& limits,
                      base::Side side);

  // One field, whose bytes are copied. What is wrong with it finish() tells. False: the section is so
  // far beyond the limits that nobody should go on decoding it.
  [[nodiscard]] bool add(std::string_view name, std::string_view value);
  // After the last field: fills in and judges the head, or judges the trailers. `end`: no body
  // follows.
  [[nodiscard]] base::Error finish(bool end);

 private:
  // In the order of kPseudoNames.
  enum Pseudo : std::uint8_t { method, scheme, authority, path, protocol, status, kPseudos };

  void add_pseudo(std::string_view name, std::string_view value);
  void add_regular(std::string_view name, std::string_view value);
  [[nodiscard]] bool is_allowed(HeaderId id, std::string_view value);
  void join_cookie(std::string_view crumb);
  [[nodiscard]] base::Error finish_head(bool end);
  [[nodiscard]] base::Error finish_answer(bool end);
  [[nodiscard]] bool is_of_answer() const { return side_ == base::Side::upstream; }
  [[nodiscard]] base::Error fill_in();
  void fail(base::EndReason reason, const char* detail);
  [[nodiscard]] bool has(Pseudo which) const { return (seen_ & (1U << which)) != 0; }

  Head* head_ = nullptr;  // null: trailers
  HeaderBlock* fields_ = nullptr;
  base::Arena* arena_ = nullptr;
  const MessageLimits* limits_ = nullptr;
  base::Error error_;
  std::string_view pseudo_[kPseudos];
  std::uint32_t bytes_ = 0;
  std::uint32_t count_ = 0;
  base::Side side_ = base::Side::client;  // who sends them
  Method asked_ = Method::get;            // of an answer
  std::uint8_t seen_ = 0;                 // bits of Pseudo
  bool has_regular_ = false;
};

}  // namespace portunus::http
