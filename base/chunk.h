// Fixed chunks of memory from a pool per thread, and a queue of bytes made of them: what a socket
// did not take yet, or what a parser must keep. A chunk belongs to exactly one queue or to the
// pool. One thread. Sizes in bytes.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace portunus::base {

struct Chunk {
  static constexpr std::size_t kCapacity = std::size_t{16} * 1024 - 16;
  Chunk* next;
  std::uint32_t begin;  // first unread byte
  std::uint32_t end;    // one past the last byte
  char data[kCapacity];
};
static_assert(sizeof(Chunk) == std::size_t{16} * 1024);

// The free list. Keeps at most `kept_max` chunks and gives the rest back to the system.
class ChunkPool {
 public:
  explicit ChunkPool(std::size_t kept_max = 256) : kept_max_(kept_max) {}
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  [[nodiscard]] Chunk* take() {
    if (free_ == nullptr) return allocate();
    Chunk* chunk = free_;
    free_ = chunk->next;
    --kept_;
    ++in_use_;
    chunk->next = nullptr;
    chunk->begin = chunk->end = 0;
    return chunk;
  }
  void give(Chunk* chunk);
  [[nodiscard]] std::size_t in_use() const { return in_use_; }

 private:
  [[nodiscard]] Chunk* allocate();

  Chunk* free_ = nullptr;
  std::size_t kept_ = 0;
  std::size_t kept_max_;
  std::size_t in_use_ = 0;
};

// Bytes in order. The pool must outlive the queue.
class ChunkQueue {
 public:
  explicit ChunkQueue(ChunkPool& pool) : pool_(&pool) {}
  ~ChunkQueue() { clear(); }
  ChunkQueue(const ChunkQueue&) = delete;
  ChunkQueue& operator=(const ChunkQueue&) = delete;
  ChunkQueue(ChunkQueue&& other) noexcept
      : pool_(other.pool_),
        head_(std::exchange(other.head_, nullptr)),
        tail_(std::exchange(other.tail_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  ChunkQueue& operator=(ChunkQueue&&) = delete;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  void append(std::span<const char> bytes);
  void append(std::string_view text) { append(std::span<const char>(text.data(), text.size())); }
  // Room for `size` contiguous bytes at the end (size <= Chunk::kCapacity); commit() what was
  // written.
  [[nodiscard]] char* reserve(std::size_t size);
  void commit(std::size_t size) {
    tail_->end += static_cast<std::uint32_t>(size);
    size_ += size;
  }
  // Fills at most vectors.size() entries from the front; returns how many.
  [[nodiscard]] std::size_t fill(std::span<iovec> vectors) const;
  // The first contiguous bytes; empty when the queue is.
  [[nodiscard]] std::span<const char> front() const;
  // Drops `size` bytes from the front (size <= size()).
  void drain(std::size_t size);
  void clear();

 private:
  void add_chunk();

  ChunkPool* pool_;
  Chunk* head_ = nullptr;
  Chunk* tail_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace portunus::base
