#include "http/h2_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace portunus::http {
namespace {

std::string text_of(const void* block, std::size_t size) {
  return {static_cast<const char*>(block), size};
}

TEST(H2Memory, GivesWhatWasGivenBackOfThatSize) {
  H2Memory memory;
  void* small = H2Memory::take(10, &memory);
  void* large = H2Memory::take(500, &memory);
  ASSERT_NE(small, nullptr);
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(small) % alignof(std::max_align_t), 0U);
  H2Memory::give_back(small, &memory);
  H2Memory::give_back(large, &memory);
  H2Memory::give_back(nullptr, &memory);
  const bool is_kept = H2Memory::kKept > 0;  // not under the address sanitizer
  EXPECT_EQ(memory.kept(), is_kept ? 2U : 0U);
  void* small_again = H2Memory::take(H2Memory::kStep, &memory);  // rounded up, it is the same size
  void* large_again = H2Memory::take(512, &memory);
  if (is_kept) {
    EXPECT_EQ(small_again, small);
    EXPECT_EQ(large_again, large);
  }
  EXPECT_EQ(memory.kept(), 0U);
  H2Memory::give_back(small_again, &memory);
  H2Memory::give_back(large_again, &memory);
}

TEST(H2Memory, KeepsSoMuchAndNoMore) {
  H2Memory memory;
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < H2Memory::kKept + 10; ++i)
    blocks.push_back(H2Memory::take(100, &memory));
  blocks.push_back(H2Memory::take(H2Memory::kLargest + 1, &memory));
  for (void* block : blocks)
    H2Memory::give_back(block, &memory);
  EXPECT_EQ(memory.kept(), H2Memory::kKept);
}

TEST(H2Memory, ZeroesAlsoWhatWasUsedBefore) {
  H2Memory memory;
  void* block = H2Memory::take(64, &memory);
  std::memset(block, 'x', 64);
  H2Memory::give_back(block, &memory);
  block = H2Memory::take_zeroed(4, 16, &memory);
  EXPECT_EQ(text_of(block, 64), std::string(64, '\0'));
  H2Memory::give_back(block, &memory);
  EXPECT_EQ(H2Memory::take_zeroed(SIZE_MAX / 8, 16, &memory), nullptr);
  EXPECT_EQ(H2Memory::take(SIZE_MAX, &memory), nullptr);
}

TEST(H2Memory, ResizedBlocksKeepTheirContent) {
  H2Memory memory;
  void* block = H2Memory::resize(nullptr, 60, &memory);
  std::memset(block, 'a', 60);
  EXPECT_EQ(H2Memory::resize(block, 20, &memory), block) << "there is room";
  for (const std::size_t size : {200U, 1000U, 5000U}) {
    block = H2Memory::resize(block, size, &memory);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(text_of(block, 60), std::string(60, 'a')) << size;
    std::memset(block, 'a', size);
  }
  EXPECT_EQ(text_of(block, 5000), std::string(5000, 'a'));
  H2Memory::give_back(block, &memory);
}

}  // namespace
}  // namespace portunus::http
