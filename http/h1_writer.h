// Heads, chunk frames and trailers as HTTP/1.1 bytes (RFC 9112) into memory of the caller. Decides
// nothing: the caller says how the body is framed and what becomes of the connection; the fields
// that say so (Connection, Keep-Alive, Transfer-Encoding, Content-Length) are never taken from the
// block. Everything else is written as stored, after forwarding.h. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/message.h"

namespace portunus::http {

enum class WireFraming : std::uint8_t {
  none,            // no framing field: no body, or one that lasts until the close
  content_length,  // also for the answer to HEAD, which has a length and no body
  chunked,
};
enum class WireConnection : std::uint8_t { unsaid, close, keep_alive };

// How a head goes on the wire. When the block has Upgrade or TE, their connection options are
// added.
struct WireHead {
  WireFraming framing = WireFraming::none;
  WireConnection connection = WireConnection::unsaid;
  std::uint64_t content_length = 0;
  // Written where the block has no Date (RFC 9110 section 6.6.1); empty = none.
  std::string_view date{};
};

// The bytes written, or 0 when they do not fit. A request line is always in origin form (or "*").
[[nodiscard]] std::size_t write_request_head(const Head& head,
                                             const WireHead& wire,
                                             std::span<char> memory);
[[nodiscard]] std::size_t write_response_head(const Head& head,
                                              const WireHead& wire,
                                              std::span<char> memory);
// A size that is certainly enough for either.
[[nodiscard]] std::size_t head_size_bound(const Head& head);

inline constexpr std::size_t kChunkHeaderMax = 18;  // 16 digits, CRLF
// "1f\r\n"; size > 0. After the data comes kChunkEnd.
std::size_t write_chunk_header(std::uint64_t size, char* out);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";  // without trailers
// The last chunk with trailers; 0 when they do not fit.
[[nodiscard]] std::size_t write_trailers(const HeaderBlock& trailers, std::span<char> memory);

}  // namespace portunus::http
