#include "base/reserved_sets.h"

#include <sys/mman.h>

#include "base/check.h"

namespace portunus::base {

void* reserve_sets(std::uint64_t& mask, std::size_t set_bytes) {
  const auto reserve = [&] {
    return ::mmap(nullptr, (mask + 1) * set_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  };
  void* memory = reserve();
  while (memory == MAP_FAILED && mask > 0) {
    mask >>= 1U;
    memory = reserve();
  }
  CHECK(memory != MAP_FAILED);
  return memory;
}

void release_sets(void* sets, std::uint64_t mask, std::size_t set_bytes) {
  ::munmap(sets, (mask + 1) * set_bytes);
}

}  // namespace portunus::base
