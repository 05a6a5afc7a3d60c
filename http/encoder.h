// Compresses one body, piece by piece, by zlib, libbrotli or libzstd. What an encoder remembers is
// bounded by its window; what it is given comes out at the latest with a flush. Reused for one body after
// the other. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "http/content_coding.h"

namespace portunus::http {

enum class EncoderLevel : std::uint8_t { fast, balanced, small };

class Encoder {
 public:
  enum class Until : std::uint8_t {
    taken,    // the input has been taken; little or nothing may come out
    flushed,  // the peer can decode all of it
    ended,    // and knows that it was all
  };
  struct Step {
    std::size_t taken;  // bytes of the input
    std::size_t made;   // bytes of the output
    bool is_done;       // as far as was asked for; else call again with the rest and the same Until
  };

  Encoder() = default;
  virtual ~Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  // A new body, whatever became of the one before. False when memory is short.
  [[nodiscard]] virtual bool begin(EncoderLevel level) = 0;
  // One step; none when memory is short. `out` has room for kOutMin bytes.
  static constexpr std::size_t kOutMin = 64;
  [[nodiscard]] virtual std::optional<Step> encode(std::span<const char> in,
                                                   Until until,
                                                   std::span<char> out) = 0;
  [[nodiscard]] virtual ContentCoding coding() const = 0;
};

[[nodiscard]] std::unique_ptr<Encoder> make_gzip_encoder();
[[nodiscard]] std::unique_ptr<Encoder> make_br_encoder();
[[nodiscard]] std::unique_ptr<Encoder> make_zstd_encoder();

}  // namespace portunus::http
