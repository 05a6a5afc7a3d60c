#include "base/hash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace portunus::base {
namespace {

// These values are a promise: rings of other versions and other machines depend on them.
TEST(StableHash, NeverChanges) {
  EXPECT_EQ(stable_hash(""), 0x2323B33F5422E571ULL);
  EXPECT_EQ(stable_hash("a"), 0xB35BA45D91A3ECE1ULL);
  EXPECT_EQ(stable_hash("10.0.0.4:8080"), 0xA5599B080C76088CULL);
  EXPECT_EQ(stable_hash("10.0.0.4:8080", 1), 0xF2D01D32EA59C252ULL);
  EXPECT_EQ(stable_hash("a-rather-long-name.of.a.member.example.com:65535"), 0x857CA1CD5629BBD6ULL);
}

TEST(StableHash, NumberAndTextBothCount) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t k = 0; k < 1000; ++k) {
    seen.insert(stable_hash("web", k));
    seen.insert(stable_hash("web" + std::to_string(k)));
  }
  EXPECT_EQ(seen.size(), 2000U);
}

TEST(KeyedHash, SameSecretSameValue) {
  const KeyedHash a(1, 2);
  const KeyedHash b(1, 2);
  const KeyedHash c(1, 3);
  EXPECT_EQ(a("example.com"), b("example.com"));
  EXPECT_NE(a("example.com"), c("example.com"));
  EXPECT_NE(a("example.com"), a("example.com", 1));
}

TEST(KeyedHash, EveryObjectDrawsItsOwnSecret) {
  EXPECT_NE(KeyedHash()("example.com"), KeyedHash()("example.com"));
}

// Every length takes another way through the loads; every byte of the text must count.
TEST(KeyedHash, EveryByteCountsAtEveryLength) {
  const KeyedHash hash(1, 2);
  std::set<std::uint64_t> seen{hash("")};
  std::size_t made = 1;
  for (std::size_t size = 1; size <= 70; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = 'y';
      seen.insert(hash(text));
      ++made;
    }
  }
  EXPECT_EQ(seen.size(), made);
}

TEST(KeyedHash, ZerosOfEveryLengthDiffer) {
  const KeyedHash hash(1, 2);
  std::set<std::uint64_t> seen;
  for (std::size_t size = 0; size < 100; ++size)
    seen.insert(hash(std::string(size, '\0')));
  EXPECT_EQ(seen.size(), 100U);
}

// Low bits choose the slot of a table: chi-square over 256 buckets, 255 degrees of freedom, so 255
// +- 22.6.
TEST(KeyedHash, LowAndHighBitsAreEven) {
  const KeyedHash hash(1, 2);
  std::vector<double> low(256), high(256);
  constexpr int kCount = 256 * 200;
  for (int i = 0; i < kCount; ++i) {
    const std::uint64_t value = hash("host" + std::to_string(i) + ".example.com");
    ++low[value & 255];
    ++high[value >> 56];
  }
  for (const auto& buckets : {low, high}) {
    double sum = 0;
    for (const double n : buckets)
      sum += (n - 200) * (n - 200) / 200;
    EXPECT_LT(sum, 255 + 5 * 22.6);
    EXPECT_GT(sum, 255 - 5 * 22.6);
  }
}

TEST(KeyedHash, OneBitOfTheTextTurnsHalfOfTheValue) {
  const KeyedHash hash(1, 2);
  double turned = 0;
  int trials = 0;
  for (int i = 0; i < 200; ++i) {
    std::string text = "site" + std::to_string(i) + ".example.com";
    const std::uint64_t before = hash(text);
    for (std::size_t bit = 0; bit < text.size() * 8; ++bit, ++trials) {
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
      turned += __builtin_popcountll(before ^ hash(text));
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    }
  }
  EXPECT_NEAR(turned / trials, 32, 0.2);
}

}  // namespace
}  // namespace portunus::base
