#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace portunus::base {

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "portunus: broken invariant: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace portunus::base
