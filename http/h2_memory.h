// Where nghttp2 has its memory from, on one thread: every stream takes and returns the same few sizes,
// so blocks that it frees are kept, by size, for the next one, and a request costs no general
// allocation. Bounded: at most kKept blocks of each size wait; larger ones are never kept. One thread;
// outlives the sessions. The functions are as nghttp2_mem(3) wants them, `self` is a H2Memory.
#pragma once

#include <array>
#include <cstddef>

namespace portunus::http {

class H2Memory {
 public:
  static constexpr std::size_t kStep = 64;  // sizes are rounded up to a multiple
  static constexpr std::size_t kLargest = 1024;
#ifdef __SANITIZE_ADDRESS__
  static constexpr std::size_t kKept = 0;  // the sanitizer shall see each use after a free
#else
  static constexpr std::size_t kKept = 256;
#endif

  H2Memory() = default;
  ~H2Memory();
  H2Memory(const H2Memory&) = delete;
  H2Memory& operator=(const H2Memory&) = delete;

  [[nodiscard]] static void* take(std::size_t size, void* self);
  static void give_back(void* block, void* self);
  [[nodiscard]] static void* take_zeroed(std::size_t count, std::size_t size, void* self);
  [[nodiscard]] static void* resize(void* block, std::size_t size, void* self);

  // Blocks that wait.
  [[nodiscard]] std::size_t kept() const;

 private:
  struct Header;
  struct List {
    Header* first = nullptr;
    std::size_t count = 0;
  };
  std::array<List, kLargest / kStep> lists_;  // by size, the smallest first
};

}  // namespace portunus::http
