// A free list of one object type, so that the steady state of the data path never reaches malloc.
// Grows by blocks and keeps them until it is destroyed; all objects must be back by then. One
// thread.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/check.h"

namespace portunus::base {

template <typename T, std::size_t kPerBlock = 32>
class Slab {
 public:
  Slab() = default;
  ~Slab() { CHECK(live_ == 0); }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  template <typename... Args>
  [[nodiscard]] T* make(Args&&... args) {
    if (free_ == nullptr) grow();
    Cell* cell = free_;
    free_ = cell->next;
    ++live_;
    return ::new (static_cast<void*>(cell->bytes)) T(std::forward<Args>(args)...);
  }
  void destroy(T* object) {
    object->~T();
    Cell* cell = reinterpret_cast<Cell*>(object);
    cell->next = free_;
    free_ = cell;
    --live_;
  }
  [[nodiscard]] std::size_t live() const { return live_; }
  [[nodiscard]] std::size_t capacity() const { return blocks_.size() * kPerBlock; }

 private:
  union Cell {
    Cell* next;
    alignas(T) std::byte bytes[sizeof(T)];
  };
  void grow() {
    blocks_.push_back(std::make_unique_for_overwrite<Cell[]>(kPerBlock));
    Cell* cells = blocks_.back().get();
    for (std::size_t i = kPerBlock; i-- > 0;) {
      cells[i].next = free_;
      free_ = &cells[i];
    }
  }

  Cell* free_ = nullptr;
  std::size_t live_ = 0;
  std::vector<std::unique_ptr<Cell[]>> blocks_;
};

}  // namespace portunus::base
