// Memory of the tables that count strangers (count_table.h, proxy/rate_table.h): far more than most ever
// need, so it is reserved, and taken page by page where something is written. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portunus::base {

// `mask` + 1 sets of so many bytes, all zero. That is a power of two, which is halved until there is room: a
// table that is too small forgets too early; without one nobody would be served, so with no room for a
// single set the program ends.
[[nodiscard]] void* reserve_sets(std::uint64_t& mask, std::size_t set_bytes);
void release_sets(void* sets, std::uint64_t mask, std::size_t set_bytes);

}  // namespace portunus::base
