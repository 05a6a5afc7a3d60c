// Counts what operator new gives out, for tests that assert "no allocation here". A program that
// calls this gets the counting operator new; others keep the ordinary one. Counts are per thread.
#pragma once

#include <cstddef>

namespace portunus::test {

// Calls of operator new by this thread so far.
[[nodiscard]] std::size_t allocation_count();
// The same with malloc, calloc and realloc, which C libraries call; in a sanitized build without them.
[[nodiscard]] std::size_t heap_count();

}  // namespace portunus::test
