// The encoders of one thread: lent for one body each, so many at a time at most, and some that can
// begin anew kept for the next. One thread.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "http/encoder.h"

namespace portunus::http {

class EncoderPool {
 public:
  // An encoder takes up to 1.8 MiB: this is what compression may take of one thread's memory.
  static constexpr std::size_t kLentMax = 64;
  static constexpr std::size_t kKeptMax = 8;  // of one coding

  EncoderPool() = default;
  EncoderPool(const EncoderPool&) = delete;
  EncoderPool& operator=(const EncoderPool&) = delete;
  ~EncoderPool() = default;

  // At the beginning of a body. Null when as many as may be are lent, or memory is short.
  [[nodiscard]] Encoder* lend(ContentCoding coding, EncoderLevel level);
  void give_back(Encoder* encoder);
  [[nodiscard]] std::size_t lent() const { return lent_; }
  // For what encode() makes; its bytes live until the next use.
  [[nodiscard]] std::span<char> out() { return out_; }

 private:
  std::array<std::vector<std::unique_ptr<Encoder>>, kContentCodingCount> kept_;
  std::size_t lent_ = 0;
  std::array<char, std::size_t{16} * 1024> out_;
};

}  // namespace portunus::http
