#include "proxy/staple_log.h"

#include <gtest/gtest.h>

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kPause = StapleLog::kPauseMs;

TEST(StapleLog, TellsOfAResponderOnceInBothDirections) {
  StapleLog log;
  EXPECT_FALSE(log.is_answer_news("a"));
  EXPECT_TRUE(log.is_silence_news("a", 0));
  EXPECT_FALSE(log.is_silence_news("a", 10 * kPause)) << "it has been told";
  EXPECT_TRUE(log.is_silence_news("b", 1)) << "another one";
  EXPECT_TRUE(log.is_answer_news("a"));
  EXPECT_FALSE(log.is_answer_news("a"));
  EXPECT_TRUE(log.is_silence_news("a", 11 * kPause));
}

TEST(StapleLog, OneThatComesAndGoesDoesNotFillTheLog) {
  StapleLog log;
  int lines = 0;
  for (std::uint64_t now = 0; now < 3 * kPause; now += 1000) {
    if (log.is_silence_news("a", now)) ++lines;
    if (log.is_answer_news("a")) ++lines;
  }
  EXPECT_EQ(lines, 6);
  EXPECT_TRUE(log.is_silence_news("a", 3 * kPause)) << "what lasts is told in the end";
}

TEST(StapleLog, ForgetsWhatIsNotNamedAnyMore) {
  StapleLog log;
  EXPECT_TRUE(log.is_silence_news("a", 0));
  EXPECT_TRUE(log.is_silence_news("b", 0));
  log.retain({"b"});
  EXPECT_FALSE(log.is_silence_news("b", 0));
  EXPECT_TRUE(log.is_silence_news("a", 0));
  log.retain({});
  EXPECT_TRUE(log.is_empty());
}

TEST(StapleLog, WhyACertificateHasNoneIsToldOnce) {
  StapleLog::Fault fault;
  EXPECT_TRUE(fault.is_news("one", 0));
  EXPECT_FALSE(fault.is_news("one", 2 * kPause));
  EXPECT_FALSE(StapleLog::Fault(fault).is_news("one", 0));
  EXPECT_TRUE(fault.is_news("two", 2 * kPause));
  EXPECT_FALSE(fault.is_news("one", 2 * kPause + 1)) << "two that take turns";
  fault.end();
  EXPECT_FALSE(fault.is_news("one", 2 * kPause + 2)) << "nor does a good one between them count";
  EXPECT_TRUE(fault.is_news("one", 3 * kPause));
}

}  // namespace
}  // namespace portunus::proxy
