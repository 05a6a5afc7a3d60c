#include "base/count_table.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <thread>
#include <vector>

namespace portunus::base {
namespace {

// All in the one set of a small table, each with a tag of its own.
std::uint64_t key(std::uint64_t number) {
  return (number + 1) << 24;
}

TEST(CountTable, CountsAsManyAsItMayAndNoMore) {
  CountTable table(4);
  const auto first = table.take(key(0), 2);
  const auto second = table.take(key(0), 2);
  EXPECT_TRUE(first.is_within && second.is_within);
  EXPECT_EQ(first.entry, second.entry);
  const auto third = table.take(key(0), 2);
  EXPECT_FALSE(third.is_within);
  EXPECT_EQ(third.entry, nullptr);
  EXPECT_TRUE(table.take(key(1), 2).is_within) << "another key";
  EXPECT_TRUE(table.take(key(0), 3).is_within) << "a bound may grow";
  CountTable::give(*first.entry);
  EXPECT_FALSE(table.take(key(0), 2).is_within) << "and shrink";
}

TEST(CountTable, AnEntryIsFreeWhenAllIsGivenBack) {
  CountTable table(4);
  std::array<CountTable::Entry*, 8> entries{};
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t i = 0; i < entries.size(); ++i) {
      const auto verdict = table.take(key(100 * static_cast<std::uint64_t>(round) + i), 1);
      ASSERT_NE(verdict.entry, nullptr);
      entries[i] = verdict.entry;
    }
    for (CountTable::Entry* entry : entries)
      CountTable::give(*entry);
    for (const CountTable::Entry* entry : entries)
      EXPECT_EQ(entry->load(), 0U);
  }
  EXPECT_EQ(table.uncounted(), 0U);
}

TEST(CountTable, WhoHasNoPlaceIsLetInAndNoted) {
  CountTable table(4);
  for (std::uint64_t i = 0; i < 8; ++i)
    EXPECT_NE(table.take(key(i), 1).entry, nullptr);
  const auto ninth = table.take(key(8), 1);
  EXPECT_TRUE(ninth.is_within);
  EXPECT_EQ(ninth.entry, nullptr);
  EXPECT_EQ(table.uncounted(), 1U);
  EXPECT_FALSE(table.take(key(3), 1).is_within) << "those that are there are still held";
}

TEST(CountTable, ThreadsCountTogether) {
  constexpr std::uint64_t kMost = 3;
  CountTable table(1000);
  // One of each key stays, so that no entry becomes free while others come.
  std::array<CountTable::Entry*, 4> held{};
  for (std::uint64_t i = 0; i < held.size(); ++i)
    held[i] = table.take(key(i), kMost).entry;
  std::array<std::atomic<std::uint64_t>, 4> counts{};
  std::atomic<bool> is_over{false};
  const auto work = [&](unsigned seed) {
    std::minstd_rand random(seed);
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t which = random() % counts.size();
      const auto verdict = table.take(key(which), kMost);
      if (!verdict.is_within) continue;
      if (counts[which].fetch_add(1) + 1 > kMost - 1) is_over = true;
      counts[which].fetch_sub(1);
      CountTable::give(*verdict.entry);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 3; ++seed)
    threads.emplace_back(work, seed);
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_FALSE(is_over);
  for (CountTable::Entry* entry : held) {
    EXPECT_EQ(entry->load() & 0xffffffU, 1U);
    CountTable::give(*entry);
    EXPECT_EQ(entry->load(), 0U);
  }
}

}  // namespace
}  // namespace portunus::base
