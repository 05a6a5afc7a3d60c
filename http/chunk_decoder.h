// The chunked coding (RFC 9112 section 7.1) up to the last chunk's line, strictly: at most 16
// digits, CRLF only, nothing between the size and its CRLF or ';', extensions ignored but bounded
// and without control characters, quoted or not. Our own, because llhttp bounds neither leading
// zeros nor extensions. The trailer section behind the last chunk is the parser's. One thread.
#pragma once

#include <cstdint>
#include <span>

namespace portunus::http {

class ChunkDecoder {
 public:
  enum class Step : std::uint8_t {
    need_more,   // all bytes taken
    data,        // `data` holds a slice of the body
    last_chunk,  // the zero chunk's line has ended; what is left of `bytes` is the trailer section
    failed,      // failure() tells why
  };

  static constexpr std::uint32_t kExtensionMax = 1024;        // bytes per chunk
  static constexpr std::uint32_t kExtensionsMax = 64 * 1024;  // bytes per message

  void start() { *this = ChunkDecoder(); }
  // Takes bytes off the front of `bytes` until there is something to tell.
  [[nodiscard]] Step next(std::span<const char>& bytes, std::span<const char>& data);
  // A literal, fit for Error::detail.
  [[nodiscard]] const char* failure() const { return failure_; }

 private:
  enum class State : std::uint8_t {
    size,
    extension,
    quoted,
    escaped,
    line_feed,
    data,
    data_cr,
    data_lf,
  };
  // False when the byte is out of place.
  [[nodiscard]] bool take_size(char c);
  [[nodiscard]] bool take_extension(char c);
  [[nodiscard]] bool take_framing(char c);

  std::uint64_t left_ = 0;  // bytes of the chunk still to come
  const char* failure_ = "";
  std::uint32_t extension_ = 0;   // bytes, of this chunk
  std::uint32_t extensions_ = 0;  // bytes, of all chunks before
  std::uint8_t digits_ = 0;
  State state_ = State::size;
};

}  // namespace portunus::http
