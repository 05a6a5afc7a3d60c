#include "supervisor/code_pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace portunus::supervisor {

void release_code_pages() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    std::string access;
    words >> std::hex >> begin >> dash >> end >> access;
    // Code of a file: never written to, so that the file still has all of it.
    if (!words || access != "r-xp" || line.find('/') == std::string::npos) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel's text says where
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

}  // namespace portunus::supervisor
