// A bump allocator for the bytes of one message: the first block is in place, further ones are
// chunks of the thread's pool, all given back at once by reset(). Blocks larger than a chunk come
// from the heap (rare: a very long header field). One thread. Nothing in it is ever destroyed.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/chunk.h"

namespace portunus::base {

class Arena {
 public:
  static constexpr std::size_t kInPlace = 2048;

  explicit Arena(ChunkPool& pool) : pool_(&pool) {}
  ~Arena() { reset(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Bytes without alignment: the arena holds text.
  [[nodiscard]] char* take(std::size_t size) {
    if (size <= static_cast<std::size_t>(limit_ - next_)) {
      char* place = next_;
      next_ += size;
      return place;
    }
    return take_slow(size);
  }
  [[nodiscard]] std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* place = take(text.size());
    std::memcpy(place, text.data(), text.size());
    return {place, text.size()};
  }
  // Extends `text` by `more`; in place when `text` was the last thing taken.
  [[nodiscard]] std::string_view extend(std::string_view text, std::string_view more);
  [[nodiscard]] std::string_view join(std::string_view a, std::string_view b) {
    char* place = take(a.size() + b.size());
    if (!a.empty()) std::memcpy(place, a.data(), a.size());
    if (!b.empty()) std::memcpy(place + a.size(), b.data(), b.size());
    return {place, a.size() + b.size()};
  }
  void reset();

 private:
  struct Large {
    Large* next;
  };
  [[nodiscard]] char* take_slow(std::size_t size);

  ChunkPool* pool_;
  char* next_ = in_place_;
  char* limit_ = in_place_ + kInPlace;
  Chunk* chunks_ = nullptr;
  Large* large_ = nullptr;
  char in_place_[kInPlace];
};

}  // namespace portunus::base
