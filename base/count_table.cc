#include "base/count_table.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/reserved_sets.h"

namespace portunus::base {

CountTable::CountTable(std::uint64_t keys)
    : set_mask_(std::bit_ceil(std::max<std::uint64_t>(2 * keys / kWays, 1)) - 1) {
  static_assert(Entry::is_always_lock_free && sizeof(Set) == 64);
  sets_ = static_cast<Set*>(reserve_sets(set_mask_, sizeof(Set)));
}

CountTable::~CountTable() {
  release_sets(sets_, set_mask_, sizeof(Set));
}

// Nothing else hangs on an entry, so its order with other memory does not matter.
CountTable::Verdict CountTable::take(std::uint64_t hash, std::uint64_t most) {
  const std::uint64_t tag = std::max<std::uint64_t>(hash >> kCountBits, 1);
  Set& set = sets_[hash & set_mask_];
  for (;;) {
    Entry* place = nullptr;
    std::uint64_t word = 0;
    for (Entry& entry : set.entries) {
      const std::uint64_t seen = entry.load(std::memory_order_relaxed);
      const bool is_of_key = seen >> kCountBits == tag;
      if (is_of_key || (seen == 0 && place == nullptr)) {
        place = &entry;
        word = seen;
      }
      if (is_of_key) break;
    }
    if (place == nullptr) {
      uncounted_.fetch_add(1, std::memory_order_relaxed);
      return {};
    }
    if ((word & kCountMask) >= most) return {.is_within = false, .entry = nullptr};
    const std::uint64_t next = word == 0 ? tag << kCountBits | 1 : word + 1;
    if (place->compare_exchange_weak(word, next, std::memory_order_relaxed)) {
      return {.is_within = true, .entry = place};
    }
  }
}

void CountTable::give(Entry& entry) {
  std::uint64_t word = entry.load(std::memory_order_relaxed);
  std::uint64_t next = 0;
  do {
    DCHECK((word & kCountMask) > 0);
    next = (word & kCountMask) == 1 ? 0 : word - 1;
  } while (!entry.compare_exchange_weak(word, next, std::memory_order_relaxed));
}

}  // namespace portunus::base
