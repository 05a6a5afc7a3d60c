// What data-plane threads count of a member, and what is news.
#include "health/conduct.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::health {
namespace {

using conf::FailureKind;

TEST(Conduct, AGoodAnswerWritesNothingWhileAllIsWell) {
  const conf::Pool pool;
  Conduct conduct;
  EXPECT_FALSE(conduct.note({}, pool));
  EXPECT_EQ(conduct.done.load(), 0U);
  EXPECT_TRUE(conduct.note({.is_failure = true, .kind = FailureKind::timeout}, pool)) << "news";
  EXPECT_FALSE(conduct.note({.is_failure = true}, pool)) << "known, and no row yet";
  EXPECT_EQ(conduct.failures_in_row.load(), 2U);
  EXPECT_FALSE(conduct.note({}, pool));
  EXPECT_EQ(conduct.failures_in_row.load(), 0U);
  EXPECT_EQ(conduct.done.load(), 3U) << "all are counted from the first failure on";
  EXPECT_EQ(conduct.failed.load(), 2U);
}

TEST(Conduct, ARowIsNewsAgainAndAgain) {
  const conf::Pool pool;  // five in a row
  Conduct conduct;
  conduct.is_watched = true;
  std::string news;
  for (int i = 0; i < 12; ++i)
    news += conduct.note({.is_failure = true}, pool) ? 'x' : '.';
  EXPECT_EQ(news, "....x....x..");
  EXPECT_FALSE(conduct.note({.is_slow = true}, pool));
  EXPECT_EQ(conduct.failures_in_row.load(), 0U) << "slow is no failure";
  EXPECT_EQ(conduct.slow.load(), 1U);
}

TEST(Conduct, EachTrialIsNews) {
  const conf::Pool pool;
  Conduct conduct;
  conduct.is_watched = true;
  EXPECT_TRUE(conduct.note({.is_trial = true}, pool));
  EXPECT_TRUE(conduct.note({.is_failure = true, .is_trial = true}, pool));
  EXPECT_EQ(conduct.trials_good.load(), 1U);
  EXPECT_EQ(conduct.trials_bad.load(), 1U);
}

TEST(Trials, AreTakenAndGivenBack) {
  Trials trials;
  EXPECT_TRUE(trials.is_any_left());
  EXPECT_FALSE(trials.is_limited());
  trials.set(2);
  EXPECT_TRUE(trials.take());
  EXPECT_TRUE(trials.take());
  EXPECT_FALSE(trials.is_any_left());
  EXPECT_FALSE(trials.take());
  trials.give();
  EXPECT_TRUE(trials.take()) << "the one that was refused has left no mark";
  EXPECT_FALSE(trials.take());
  trials.set(Trials::kNoLimit);
  trials.give();
  EXPECT_FALSE(trials.is_limited()) << "no overflow";
}

TEST(FailureRule, KnowsItsStatuses) {
  const conf::FailureRule rule;
  for (const int status : {200, 404, 499, 500, 501, 505, 599, 600, 999})
    EXPECT_FALSE(rule.counts(static_cast<std::uint16_t>(status))) << status;
  for (const int status : {502, 503, 504})
    EXPECT_TRUE(rule.counts(static_cast<std::uint16_t>(status))) << status;
}

}  // namespace
}  // namespace portunus::health
