#include "base/arena.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace portunus::base {
namespace {

TEST(Arena, KeepsWhatWasCopiedWhateverItsSize) {
  ChunkPool pool;
  {
    Arena arena(pool);
    std::vector<std::pair<std::string_view, std::string>> kept;
    // Around the block in place, a chunk, and beyond a chunk.
    const std::size_t sizes[] = {0,
                                 1,
                                 100,
                                 Arena::kInPlace,
                                 Chunk::kCapacity - 1,
                                 Chunk::kCapacity,
                                 Chunk::kCapacity + 1,
                                 100'000,
                                 7};
    char letter = 'a';
    for (int round = 0; round < 3; ++round) {
      for (const std::size_t size : sizes) {
        const std::string text(size, letter++);
        kept.emplace_back(arena.copy(text), text);
      }
    }
    for (const auto& [view, text] : kept)
      ASSERT_EQ(view, text);
    EXPECT_GT(pool.in_use(), 0U);
    arena.reset();
    EXPECT_EQ(pool.in_use(), 0U);
    EXPECT_EQ(arena.copy("again"), "again");
    static_cast<void>(arena.take(Chunk::kCapacity));
  }
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST(Arena, ExtendsInPlaceOnlyWhatCameLast) {
  ChunkPool pool;
  Arena arena(pool);
  const std::string_view first = arena.copy("abc");
  const std::string_view longer = arena.extend(first, "def");
  EXPECT_EQ(longer, "abcdef");
  EXPECT_EQ(longer.data(), first.data());
  const std::string_view other = arena.copy("x");
  const std::string_view moved = arena.extend(longer, "ghi");
  EXPECT_EQ(moved, "abcdefghi");
  EXPECT_NE(moved.data(), longer.data());
  EXPECT_EQ(other, "x");
  EXPECT_EQ(arena.extend({}, "y"), "y");
  // At the end of a block it moves, and stays whole.
  std::string text;
  std::string_view view;
  for (int i = 0; i < 3'000; ++i) {
    const std::string part = std::to_string(i);
    view = arena.extend(view, part);
    text += part;
  }
  EXPECT_EQ(view, text);
  EXPECT_EQ(arena.extend(view, {}), text);
  EXPECT_EQ(arena.join("a", "b"), "ab");
  EXPECT_EQ(arena.join({}, {}), "");
}

}  // namespace
}  // namespace portunus::base
