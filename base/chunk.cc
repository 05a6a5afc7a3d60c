#include "base/chunk.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/check.h"

namespace portunus::base {

ChunkPool::~ChunkPool() {
  CHECK(in_use_ == 0);
  while (free_ != nullptr) {
    Chunk* next = free_->next;
    ::operator delete(free_);
    free_ = next;
  }
}

Chunk* ChunkPool::allocate() {
  // Left uninitialised on purpose: 16 KiB that are about to be written.
  auto* chunk = static_cast<Chunk*>(::operator new(sizeof(Chunk)));
  chunk->next = nullptr;
  chunk->begin = chunk->end = 0;
  ++in_use_;
  return chunk;
}

void ChunkPool::give(Chunk* chunk) {
  --in_use_;
  if (kept_ >= kept_max_) {
    ::operator delete(chunk);
    return;
  }
  chunk->next = free_;
  free_ = chunk;
  ++kept_;
}

void ChunkQueue::add_chunk() {
  Chunk* chunk = pool_->take();
  if (tail_ == nullptr) {
    head_ = chunk;
  } else {
    tail_->next = chunk;
  }
  tail_ = chunk;
}

void ChunkQueue::append(std::span<const char> bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (tail_ == nullptr || tail_->end == Chunk::kCapacity) add_chunk();
    const std::size_t room = Chunk::kCapacity - tail_->end;
    const std::size_t count = std::min(room, bytes.size());
    std::memcpy(tail_->data + tail_->end, bytes.data(), count);
    tail_->end += static_cast<std::uint32_t>(count);
    bytes = bytes.subspan(count);
  }
}

char* ChunkQueue::reserve(std::size_t size) {
  DCHECK(size <= Chunk::kCapacity);
  if (tail_ == nullptr || Chunk::kCapacity - tail_->end < size) add_chunk();
  return tail_->data + tail_->end;
}

std::size_t ChunkQueue::fill(std::span<iovec> vectors) const {
  std::size_t count = 0;
  for (Chunk* chunk = head_; chunk != nullptr && count < vectors.size(); chunk = chunk->next) {
    if (chunk->end == chunk->begin) continue;
    vectors[count++] = {chunk->data + chunk->begin, chunk->end - chunk->begin};
  }
  return count;
}

std::span<const char> ChunkQueue::front() const {
  for (const Chunk* chunk = head_; chunk != nullptr; chunk = chunk->next) {
    if (chunk->end != chunk->begin) return {chunk->data + chunk->begin, chunk->end - chunk->begin};
  }
  return {};
}

void ChunkQueue::drain(std::size_t size) {
  DCHECK(size <= size_);
  size_ -= size;
  while (head_ != nullptr) {
    const std::size_t here = head_->end - head_->begin;
    if (size < here) {
      head_->begin += static_cast<std::uint32_t>(size);
      return;
    }
    size -= here;
    Chunk* next = head_->next;
    pool_->give(head_);
    head_ = next;
  }
  tail_ = nullptr;
}

void ChunkQueue::clear() {
  while (head_ != nullptr) {
    Chunk* next = head_->next;
    pool_->give(head_);
    head_ = next;
  }
  tail_ = nullptr;
  size_ = 0;
}

}  // namespace portunus::base
