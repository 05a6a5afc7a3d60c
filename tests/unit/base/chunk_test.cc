#include "base/chunk.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace portunus::base {
namespace {

std::string all_of(const ChunkQueue& queue) {
  std::array<iovec, 64> vectors;
  std::string text;
  const std::size_t count = queue.fill(vectors);
  for (std::size_t i = 0; i < count; ++i) {
    text.append(static_cast<const char*>(vectors[i].iov_base), vectors[i].iov_len);
  }
  return text;
}

// Against a plain string, with sizes around those of a chunk.
TEST(ChunkQueue, IsAStringThatIsAppendedToAndDrained) {
  ChunkPool pool;
  {
    ChunkQueue queue(pool);
    std::string model;
    unsigned state = 1;
    for (int i = 0; i < 2'000; ++i) {
      state = state * 1103515245U + 12345U;
      const std::size_t size = (state >> 16) % (i % 50 == 0 ? 40'000 : 700);
      const std::string text(size, static_cast<char>('a' + i % 26));
      if (i % 3 == 0) {
        const std::size_t part = std::min<std::size_t>(size, Chunk::kCapacity);
        char* place = queue.reserve(part);
        std::copy_n(text.data(), part, place);
        queue.commit(part);
        model += text.substr(0, part);
      } else {
        queue.append(std::string_view(text));
        model += text;
      }
      const std::size_t drained = std::min<std::size_t>(model.size(), (state >> 8) % 900);
      queue.drain(drained);
      model.erase(0, drained);
      if (model.size() > 200'000) {
        queue.drain(model.size());
        model.clear();
        ASSERT_EQ(pool.in_use(), 0U);
      }
      ASSERT_EQ(queue.size(), model.size());
      ASSERT_EQ(queue.empty(), model.empty());
      ASSERT_EQ(all_of(queue), model);
      const auto front = queue.front();
      ASSERT_EQ(std::string_view(front.data(), front.size()),
                std::string_view(model).substr(0, front.size()));
      ASSERT_EQ(front.empty(), model.empty());
    }
    ChunkQueue other(std::move(queue));
    EXPECT_EQ(all_of(other), model);
    EXPECT_EQ(queue.size(), 0U);  // NOLINT(bugprone-use-after-move): left empty, on purpose
    queue.append(std::string_view("x"));
    EXPECT_EQ(all_of(queue), "x");
  }
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST(ChunkQueue, FillsNoMoreThanIsAskedFor) {
  ChunkPool pool;
  ChunkQueue queue(pool);
  const std::string text(Chunk::kCapacity * 3, 'x');
  queue.append(std::string_view(text));
  std::array<iovec, 2> vectors;
  EXPECT_EQ(queue.fill(vectors), 2U);
  EXPECT_EQ(vectors[0].iov_len + vectors[1].iov_len, Chunk::kCapacity * 2);
  queue.clear();
  EXPECT_EQ(queue.fill(vectors), 0U);
}

TEST(ChunkPool, ReusesAndKeepsNoMoreThanItShould) {
  ChunkPool pool(2);
  Chunk* chunks[4];
  for (Chunk*& chunk : chunks)
    chunk = pool.take();
  EXPECT_EQ(pool.in_use(), 4U);
  for (Chunk* chunk : chunks)
    pool.give(chunk);
  EXPECT_EQ(pool.in_use(), 0U);
  Chunk* again = pool.take();
  EXPECT_TRUE(again == chunks[0] || again == chunks[1]);
  EXPECT_EQ(again->begin, 0U);
  EXPECT_EQ(again->end, 0U);
  EXPECT_EQ(again->next, nullptr);
  pool.give(again);
}

}  // namespace
}  // namespace portunus::base
