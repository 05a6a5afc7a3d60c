#include "tests/support/allocations.h"

#include <cstdlib>
#include <new>

namespace {

thread_local std::size_t t_count = 0;
thread_local std::size_t t_heap_count = 0;

void* counted(std::size_t size) {
  ++t_count;
  void* const place = std::malloc(size == 0 ? 1 : size);  // NOLINT(cppcoreguidelines-no-malloc)
  if (place == nullptr) std::abort();
  return place;
}

void* counted(std::size_t size, std::align_val_t align) {
  ++t_count;
  const auto step = static_cast<std::size_t>(align);
  void* const place = std::aligned_alloc(step, (size + step - 1) / step * step);
  if (place == nullptr) std::abort();
  return place;
}

}  // namespace

// malloc and its kin too, unless a sanitizer has taken them already.
#if !defined(PORTUNUS_SANITIZED) && defined(__GLIBC__)
extern "C" {
void* __libc_malloc(std::size_t size);                     // NOLINT: glibc's name
void* __libc_calloc(std::size_t count, std::size_t size);  // NOLINT
void* __libc_realloc(void* place, std::size_t size);       // NOLINT
void* malloc(std::size_t size) noexcept {
  ++t_heap_count;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++t_heap_count;
  return __libc_calloc(count, size);
}
void* realloc(void* place, std::size_t size) noexcept {
  ++t_heap_count;
  return __libc_realloc(place, size);
}
}
static constexpr bool kSeesMalloc = true;
#else
static constexpr bool kSeesMalloc = false;
#endif

namespace portunus::test {
std::size_t allocation_count() {
  return t_count;
}
std::size_t heap_count() {
  return kSeesMalloc ? t_heap_count : t_count;
}
}  // namespace portunus::test

// NOLINTBEGIN(cppcoreguidelines-no-malloc)
void* operator new(std::size_t size) {
  return counted(size);
}
void* operator new(std::size_t size, std::align_val_t align) {
  return counted(size, align);
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return counted(size);
}
void operator delete(void* place) noexcept {
  std::free(place);
}
void operator delete(void* place, std::size_t /*size*/) noexcept {
  std::free(place);
}
void operator delete(void* place, std::align_val_t /*align*/) noexcept {
  std::free(place);
}
void operator delete(void* place, std::size_t /*size*/, std::align_val_t /*align*/) noexcept {
  std::free(place);
}
// NOLINTEND(cppcoreguidelines-no-malloc)
