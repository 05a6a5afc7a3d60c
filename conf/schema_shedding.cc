// `overload` of the file: when Portunus itself is short.
#include <array>

#include "conf/model.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::uint64_t kMemoryMin = std::uint64_t{1} << 20;
constexpr std::uint64_t kMemoryMax = std::uint64_t{1} << 44;

void read_memory_bound(Reader& reader, const Key& key, const Node& value, void* object) {
  std::uint64_t& memory = static_cast<Shedding*>(object)->memory;
  reader.read(key, value, memory);
  if (memory == 0 || memory >= kMemoryMin) return;
  reader.error(value.place, "`memory` is too small to serve anybody",
               "at least 1MiB; 0 = no bound");
}

constexpr auto kSheddingKeys = std::to_array<Key>({
    {.name = "memory",
     .type = Type::size,
     .read = read_memory_bound,
     .initial = "0",
     .doc = "What requests may hold in heads and bodies, all threads together, at least 1MiB; from "
            "85% of it routes of low `priority` are refused, from 95% all but those of high "
            "priority, and no new connections are accepted. 0 = no bound.",
     .max = kMemoryMax},
    {.name = "loop_delay",
     .type = Type::duration,
     .read = field<&Shedding::loop_delay>,
     .initial = "0s",
     .doc = "How late a thread may come to what is due, on average over a second and beyond the "
            "100ms that are usual, before its routes of low `priority` are refused; from twice as "
            "much on as with `memory`. 0 = not "
            "looked at.",
     .max = kMinute},
});
constexpr Section kShedding{"`overload` of the file", kSheddingKeys, {}};

}  // namespace

const Section& shedding_section() {
  return kShedding;
}

}  // namespace portunus::conf
