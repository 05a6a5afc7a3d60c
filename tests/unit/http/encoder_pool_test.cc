#include "http/encoder_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace portunus::http {
namespace {

TEST(EncoderPool, LendsSoManyAndNoMore) {
  EncoderPool pool;
  std::vector<Encoder*> lent;
  for (std::size_t i = 0; i < EncoderPool::kLentMax; ++i) {
    lent.push_back(
        pool.lend(static_cast<ContentCoding>(i % kContentCodingCount), EncoderLevel::fast));
    ASSERT_NE(lent.back(), nullptr);
  }
  EXPECT_EQ(pool.lend(ContentCoding::gzip, EncoderLevel::fast), nullptr);
  pool.give_back(lent.back());
  lent.back() = pool.lend(ContentCoding::br, EncoderLevel::fast);
  EXPECT_NE(lent.back(), nullptr);
  for (Encoder* const encoder : lent)
    pool.give_back(encoder);
  EXPECT_EQ(pool.lent(), 0U);
}

TEST(EncoderPool, KeepsWhatCanBeginAnew) {
  EncoderPool pool;
  Encoder* const first = pool.lend(ContentCoding::zstd, EncoderLevel::fast);
  pool.give_back(first);
  Encoder* const second = pool.lend(ContentCoding::zstd, EncoderLevel::small);
  EXPECT_EQ(first, second);
  EXPECT_EQ(second->coding(), ContentCoding::zstd);
  pool.give_back(second);
}

}  // namespace
}  // namespace portunus::http
