#include "base/arena.h"

#include <new>

namespace portunus::base {

char* Arena::take_slow(std::size_t size) {
  if (size > Chunk::kCapacity) {
    auto* large = static_cast<Large*>(::operator new(sizeof(Large) + size));
    large->next = large_;
    large_ = large;
    return reinterpret_cast<char*>(large + 1);
  }
  Chunk* chunk = pool_->take();
  chunk->next = chunks_;
  chunks_ = chunk;
  next_ = chunk->data + size;
  limit_ = chunk->data + Chunk::kCapacity;
  return chunk->data;
}

std::string_view Arena::extend(std::string_view text, std::string_view more) {
  const bool is_last = !text.empty() && text.data() + text.size() == next_;
  if (is_last && more.size() <= static_cast<std::size_t>(limit_ - next_)) {
    if (!more.empty()) std::memcpy(next_, more.data(), more.size());
    next_ += more.size();
    return {text.data(), text.size() + more.size()};
  }
  return join(text, more);
}

void Arena::reset() {
  while (chunks_ != nullptr) {
    Chunk* next = chunks_->next;
    pool_->give(chunks_);
    chunks_ = next;
  }
  while (large_ != nullptr) {
    Large* next = large_->next;
    ::operator delete(large_);
    large_ = next;
  }
  next_ = in_place_;
  limit_ = in_place_ + kInPlace;
}

}  // namespace portunus::base
