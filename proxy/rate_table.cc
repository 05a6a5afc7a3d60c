#include "proxy/rate_table.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/reserved_sets.h"

namespace portunus::proxy {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
// The 44 bits of an entry's time turn once in 388 days, with ticks of 1.9 µs, as long as a request is
// worth 16 of them; at the highest rate that is allowed, once in 12 days. Who comes back after just one
// turn may find a bucket that is not his: one in 2^44 ticks over the burst's.
constexpr std::uint64_t kTicksPerSecondMax = std::uint64_t{1} << 19;
constexpr unsigned kRequestBitsMin = 4;
constexpr unsigned kRequestBitsMax = 16;
constexpr std::uint64_t kClocksApartNs = 10 * kNsPerSecond;

unsigned request_bits_for(const RateTable::Shape& shape) {
  unsigned bits = kRequestBitsMax;
  while (bits > kRequestBitsMin &&
         (Wide{shape.requests} << bits) * kNsPerSecond > Wide{kTicksPerSecondMax} * shape.per_ns) {
    --bits;
  }
  return bits;
}

}  // namespace

RateTable::RateTable(const Shape& shape)
    : set_mask_(std::bit_ceil(std::max<std::uint64_t>(2 * shape.keys / kWays, 1)) - 1),
      request_bits_(request_bits_for(shape)),
      scale_(static_cast<std::uint64_t>((Wide{shape.requests} << (64 + request_bits_)) /
                                        shape.per_ns)),
      burst_(shape.burst << request_bits_),
      shape_(shape) {
  CHECK(shape.requests > 0 && shape.per_ns / shape.requests >= 1000);
  CHECK(shape.burst > 0 && shape.burst <= std::uint64_t{1} << 20);
  ahead_max_ = std::min(burst_ + ticks_at(kClocksApartNs), kTimeMask / 2);
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(Set) == 64);
  sets_ = static_cast<Set*>(base::reserve_sets(set_mask_, sizeof(Set)));
}

RateTable::~RateTable() {
  base::release_sets(sets_, set_mask_, sizeof(Set));
}

// Not yet reduced to the bits of an entry.
std::uint64_t RateTable::ticks_at(std::uint64_t now_ns) const {
  return static_cast<std::uint64_t>((Wide{now_ns} * scale_) >> 64);
}

std::uint64_t RateTable::ns_of(std::uint64_t ticks) const {
  const Wide requests = Wide{shape_.requests} << request_bits_;
  return static_cast<std::uint64_t>((Wide{ticks} * shape_.per_ns + requests - 1) / requests);
}

// The key's own entry, else a free one, else the one that is nearest to being full again.
RateTable::Place RateTable::choose(const Set& set,
                                   std::uint64_t tag,
                                   std::uint64_t now,
                                   std::uint64_t ahead_max) {
  Place best;
  best.ahead = ~std::uint64_t{0};
  for (std::size_t way = 0; way < kWays; ++way) {
    const std::uint64_t word = set.words[way].load(std::memory_order_relaxed);
    std::uint64_t ahead = word == 0 ? 0 : (word - now) & kTimeMask;
    if (ahead > ahead_max) ahead = 0;
    if (word >> kTimeBits == tag) return {way, word, ahead, true};
    if (ahead < best.ahead) best = {way, word, ahead, false};
  }
  return best;
}

RateTable::Verdict RateTable::take(std::uint64_t hash, std::uint64_t now_ns) {
  const std::uint64_t cost = std::uint64_t{1} << request_bits_;
  const std::uint64_t now = ticks_at(now_ns);
  const std::uint64_t tag = std::max<std::uint64_t>(hash >> kTimeBits, 1);
  Set& set = sets_[hash & set_mask_];
  for (;;) {
    Place place = choose(set, tag, now, ahead_max_);
    const std::uint64_t used = (place.is_of_key ? place.ahead : 0) + cost;
    if (used > burst_) return {.is_within = false, .has_evicted = false, .used = used - cost};
    const std::uint64_t next = tag << kTimeBits | ((now + used) & kTimeMask);
    // Nothing else hangs on an entry, so its order with other memory does not matter.
    if (set.words[place.way].compare_exchange_weak(place.word, next, std::memory_order_relaxed)) {
      return {.is_within = true, .has_evicted = !place.is_of_key && place.ahead > 0, .used = used};
    }
  }
}

std::uint64_t RateTable::left(const Verdict& verdict) const {
  return verdict.used >= burst_ ? 0 : (burst_ - verdict.used) >> request_bits_;
}

std::uint64_t RateTable::wait_ns(const Verdict& verdict) const {
  const std::uint64_t needed = verdict.used + (std::uint64_t{1} << request_bits_);
  return needed > burst_ ? ns_of(needed - burst_) : 1;
}

std::uint64_t RateTable::refill_ns(const Verdict& verdict) const {
  return ns_of(verdict.used);
}

std::uint64_t RateTable::count_held(std::uint64_t now_ns) const {
  const std::uint64_t now = ticks_at(now_ns);
  std::uint64_t held = 0;
  for (std::uint64_t i = 0; i <= set_mask_; ++i) {
    for (const auto& entry : sets_[i].words) {
      const std::uint64_t word = entry.load(std::memory_order_relaxed);
      const std::uint64_t ahead = (word - now) & kTimeMask;
      if (word != 0 && ahead != 0 && ahead <= ahead_max_) ++held;
    }
  }
  return held;
}

}  // namespace portunus::proxy
