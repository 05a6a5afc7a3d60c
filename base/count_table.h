// Counts of many keys that come and go, such as connections of each client: a fixed number of entries
// of 8 bytes in sets of one cache line, found by a hash that the caller has keyed with a secret. An
// entry is one atomic word: to count is one line of memory and one compare-and-swap, whoever else
// does the same. Whoever is counted holds the entry, which stays where it is until the last one of
// its key has given it back. Keys for which there is no room are not counted. Any thread.
//
//   entry:  0 = free | tag of the key (40 bits), how many (24 bits)
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace portunus::base {

class CountTable {
 public:
  using Entry = std::atomic<std::uint64_t>;
  static constexpr std::uint64_t kCountMax = 1'000'000;
  struct Verdict {
    bool is_within = true;
    Entry* entry = nullptr;  // to be given back; null: not within, or not counted
  };

  // Room for twice as many keys, so that few sets are full; or for as many as the system has memory
  // for.
  explicit CountTable(std::uint64_t keys);
  ~CountTable();
  CountTable(const CountTable&) = delete;
  CountTable& operator=(const CountTable&) = delete;

  // One more of the key with this hash, unless there are `most` (1 to kCountMax) already. Keys of one
  // set with the same tag are counted together: with 8 in a set, one in 2^37. Two threads that bring
  // a new key while an entry before theirs becomes free may count it twice, up to `most` each.
  [[nodiscard]] Verdict take(std::uint64_t hash, std::uint64_t most);
  // One less.
  static void give(Entry& entry);

  // How often there was no room to count.
  [[nodiscard]] std::uint64_t uncounted() const {
    return uncounted_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kWays = 8;
  static constexpr unsigned kCountBits = 24;
  static constexpr std::uint64_t kCountMask = (std::uint64_t{1} << kCountBits) - 1;

  struct alignas(64) Set {
    std::array<Entry, kWays> entries;
  };

  Set* sets_;  // of the system, zero, and only there once touched
  std::uint64_t set_mask_;
  alignas(64) std::atomic<std::uint64_t> uncounted_{0};
};

}  // namespace portunus::base
