#include "http/h2_limits.h"

#include <gtest/gtest.h>

#include <set>

namespace portunus::http {
namespace {

TEST(H2Limits, EveryKindHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kH2AbuseCount; ++i)
    names.insert(name_of(static_cast<H2Abuse>(i)));
  EXPECT_EQ(names.size(), kH2AbuseCount);
  EXPECT_EQ(names.count(""), 0U);
}

TEST(H2Limits, BudgetsRefill) {
  H2Limits limits;
  limits.allowances.fill({3, 10});
  H2Budget budget;
  std::uint64_t now_ms = std::uint64_t{0xffffffff} - 50;  // the clock's low bits wrap round
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(budget.spend(limits, H2Abuse::pings, now_ms));
  EXPECT_FALSE(budget.spend(limits, H2Abuse::pings, now_ms));
  EXPECT_TRUE(budget.spend(limits, H2Abuse::settings, now_ms));  // each kind has its own
  now_ms += 99;
  EXPECT_FALSE(budget.spend(limits, H2Abuse::pings, now_ms));
  now_ms += 1;  // what was asked for in vain costs nothing
  EXPECT_TRUE(budget.spend(limits, H2Abuse::pings, now_ms));
  EXPECT_FALSE(budget.spend(limits, H2Abuse::pings, now_ms));
  now_ms += 3'600'000;  // never more than the burst
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(budget.spend(limits, H2Abuse::pings, now_ms));
  EXPECT_FALSE(budget.spend(limits, H2Abuse::pings, now_ms));
}

TEST(H2Limits, Excuses) {
  H2Limits limits;
  limits.allowances.fill({2, 0});
  H2Budget budget;
  budget.excuse(H2Abuse::window_updates, 5);  // beforehand
  for (int i = 0; i < 7; ++i)
    EXPECT_TRUE(budget.spend(limits, H2Abuse::window_updates, 1'000));
  EXPECT_FALSE(budget.spend(limits, H2Abuse::window_updates, 0));
  budget.excuse(H2Abuse::window_updates, 1);
  EXPECT_TRUE(budget.spend(limits, H2Abuse::window_updates, 0));
  EXPECT_FALSE(budget.spend(limits, H2Abuse::window_updates, 0));
  for (int i = 0; i < 100; ++i)
    budget.excuse(H2Abuse::window_updates, 1'000);
  int fits = 0;
  while (budget.spend(limits, H2Abuse::window_updates, 0))
    ++fits;
  EXPECT_EQ(fits, H2Budget::kCreditMax + 2) << "within bounds";
}

}  // namespace
}  // namespace portunus::http
