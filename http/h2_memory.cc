#include "http/h2_memory.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

namespace portunus::http {

// Before each block; what follows is aligned for anything.
struct alignas(std::max_align_t) H2Memory::Header {
  std::size_t size;  // of what follows
  Header* next;      // while it waits
};

H2Memory::~H2Memory() {
  for (List& list : lists_) {
    while (Header* header = list.first) {
      list.first = header->next;
      ::operator delete(header);
    }
  }
}

void* H2Memory::take(std::size_t size, void* self) {
  if (size > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  if (size <= kLargest) {
    size = std::max(kStep, (size + kStep - 1) / kStep * kStep);
    List& list = static_cast<H2Memory*>(self)->lists_[size / kStep - 1];
    if (Header* header = list.first) {
      list.first = header->next;
      --list.count;
      return header + 1;
    }
  }
  // Once for each block, not for each stream.
  void* memory = ::operator new(sizeof(Header) + size, std::nothrow);
  if (memory == nullptr) return nullptr;
  return std::construct_at(static_cast<Header*>(memory), size, nullptr) + 1;
}

void H2Memory::give_back(void* block, void* self) {
  if (block == nullptr) return;
  Header* header = static_cast<Header*>(block) - 1;
  if (header->size <= kLargest) {
    List& list = static_cast<H2Memory*>(self)->lists_[header->size / kStep - 1];
    if (list.count < kKept) {
      header->next = list.first;
      list.first = header;
      ++list.count;
      return;
    }
  }
  ::operator delete(header);
}

void* H2Memory::take_zeroed(std::size_t count, std::size_t size, void* self) {
  if (size != 0 && count > std::numeric_limits<std::size_t>::max() / 2 / size) return nullptr;
  void* block = take(count * size, self);
  if (block != nullptr) std::memset(block, 0, count * size);
  return block;
}

void* H2Memory::resize(void* block, std::size_t size, void* self) {
  if (block == nullptr) return take(size, self);
  const std::size_t known = (static_cast<Header*>(block) - 1)->size;
  if (size <= known) return block;
  void* larger = take(size, self);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, block, known);
  give_back(block, self);
  return larger;
}

std::size_t H2Memory::kept() const {
  std::size_t count = 0;
  for (const List& list : lists_)
    count += list.count;
  return count;
}

}  // namespace portunus::http
