// Many keys, each with a bucket of requests that fills evenly: the generic cell rate algorithm. A
// fixed number of entries of 8 bytes in sets of one cache line, found by a hash that the caller has
// keyed with a secret; an entry is one atomic word, so taking from a bucket is one line of memory and
// one compare-and-swap, whoever else does the same. A table that is full forgets the bucket that is
// nearest to being full again. Any thread; times are the caller's, in nanoseconds of one clock.
//
//   entry:  0 = free | tag of the key (20 bits), when its bucket is full again (44 bits)
//   free -> used                       a request of a key that is not there
//   used -> later                      a request that is within
//   used -> the same                   a request that is not: refusals cost nobody anything
//   used, and full again -> another's  the same as free
//   used -> another's                  no free one in the set: evicted, counts as full the next time
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace portunus::proxy {

class RateTable {
 public:
  struct Shape {
    std::uint64_t requests;  // in `per_ns`, evenly; at most one in 1000 ns
    std::uint64_t per_ns;
    std::uint64_t burst;  // 1 to 2^20: so many at once
    std::uint64_t keys;   // there is room for twice as many, so that few sets are full; or for as
                          // many as the system has memory for: see entries()
  };
  struct Verdict {
    bool is_within = true;
    bool has_evicted = false;
    std::uint64_t used = 0;  // of the bucket, in ticks; with this request, if it is within
  };

  explicit RateTable(const Shape& shape);
  ~RateTable();
  RateTable(const RateTable&) = delete;
  RateTable& operator=(const RateTable&) = delete;

  // Takes one request out of the bucket of the key with this hash. Threads' clocks may differ by ten
  // seconds. Keys of one set that have the same tag share a bucket: with 8 in a set, one new key in
  // 131,000. Two threads that bring a new key at once, while its set is being fought over, may give it
  // two buckets for a while.
  [[nodiscard]] Verdict take(std::uint64_t hash, std::uint64_t now_ns);

  // What is still in that bucket, in requests.
  [[nodiscard]] std::uint64_t left(const Verdict& verdict) const;
  // Until a request would be within; of a verdict that is not. At least 1.
  [[nodiscard]] std::uint64_t wait_ns(const Verdict& verdict) const;
  // Until that bucket is full.
  [[nodiscard]] std::uint64_t refill_ns(const Verdict& verdict) const;
  // Buckets that are not full. Looks at every entry.
  [[nodiscard]] std::uint64_t count_held(std::uint64_t now_ns) const;
  [[nodiscard]] std::uint64_t entries() const { return (set_mask_ + 1) * kWays; }

 private:
  static constexpr std::size_t kWays = 8;
  static constexpr unsigned kTimeBits = 44;
  static constexpr std::uint64_t kTimeMask = (std::uint64_t{1} << kTimeBits) - 1;

  struct alignas(64) Set {
    std::array<std::atomic<std::uint64_t>, kWays> words;
  };
  struct Place {
    std::size_t way = 0;
    std::uint64_t word = 0;
    std::uint64_t ahead = 0;
    bool is_of_key = false;
  };

  [[nodiscard]] static Place choose(const Set& set,
                                    std::uint64_t tag,
                                    std::uint64_t now,
                                    std::uint64_t ahead_max);
  [[nodiscard]] std::uint64_t ticks_at(std::uint64_t now_ns) const;
  [[nodiscard]] std::uint64_t ns_of(std::uint64_t ticks) const;

  Set* sets_;  // of the system, zero, and only there once touched
  std::uint64_t set_mask_;
  // Time is counted in ticks, of which a request costs a power of two: so rates are exact.
  unsigned request_bits_;
  std::uint64_t scale_;      // ticks in a nanosecond, times 2^64
  std::uint64_t burst_;      // in ticks
  std::uint64_t ahead_max_;  // what lies further ahead has been lying there for a turn of the clock
  Shape shape_;
};

}  // namespace portunus::proxy
