#include "discovery/member_guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace portunus::discovery {
namespace {

constexpr std::uint64_t kStartMs = 1'000'000;

class MemberGuardTest : public testing::Test, private AliveCheck {
 protected:
  // Named "10.0.0.N:80": usable, unless it stands in `critical` or `draining`.
  static Instances instances(int count,
                             const std::set<int>& critical = {},
                             const std::set<int>& draining = {}) {
    Instances list;
    for (int i = 1; i <= count; ++i) {
      Instance instance;
      instance.address = net::Address::parse_ip("10.0.0." + std::to_string(i), 80).value();
      instance.name = instance.address.text();
      instance.id = "web-" + std::to_string(i);
      if (critical.contains(i)) {
        instance.status = InstanceStatus::critical;
        instance.is_usable = false;
      }
      if (draining.contains(i)) {
        instance.status = InstanceStatus::maintenance;
        instance.is_usable = false;
        instance.is_draining = true;
      }
      list.push_back(instance);
    }
    std::ranges::sort(list, {}, &Instance::name);
    return list;
  }

  MemberGuard::Judgement judge(Instances answer, const AnswerFacts& facts = {}) {
    return guard_.judge(std::move(answer), facts, now_ms_, *this);
  }
  MemberGuard::Judgement confirm(Instances answer) {
    return judge(std::move(answer), {.has_index_gone_back = false, .confirms_at_ms = now_ms_});
  }
  [[nodiscard]] std::size_t usable() const {
    return static_cast<std::size_t>(std::ranges::count_if(*guard_.list(), &Instance::is_usable));
  }
  bool is_alive(const Instance& instance) override { return alive_.contains(instance.name); }

  GuardRule rule_;
  MemberGuard guard_{rule_};
  std::uint64_t now_ms_ = kStartMs;
  std::set<std::string> alive_;
};

TEST_F(MemberGuardTest, WhatIsBelievedAtOnce) {
  struct Case {
    int before;
    int after;
    bool is_believed;
  };
  const Case cases[] = {{0, 0, true},   {0, 5, true},   {4, 4, true},  {4, 3, true},  {4, 2, true},
                        {4, 1, false},  {2, 1, true},   {1, 0, false}, {3, 1, false}, {10, 5, true},
                        {10, 4, false}, {10, 0, false}, {4, 9, true},  {3, 2, true}};
  for (const Case& one : cases) {
    SCOPED_TRACE(std::to_string(one.before) + " to " + std::to_string(one.after));
    guard_ = MemberGuard(rule_);
    EXPECT_EQ(judge(instances(one.before)).doubt, Doubt::none);
    const auto judged = judge(instances(one.after));
    EXPECT_EQ(judged.doubt == Doubt::none, one.is_believed);
    EXPECT_EQ(usable(), static_cast<std::size_t>(one.is_believed ? one.after : one.before));
    EXPECT_EQ(judged.kept, static_cast<std::size_t>(one.is_believed ? 0 : one.before - one.after));
    EXPECT_EQ(judged.is_changed, one.before != one.after);
  }
}

TEST_F(MemberGuardTest, WhatIsLostIsKeptAndMarkedAndWhatIsNewCounts) {
  judge(instances(4));
  Instances answer = instances(5, {2, 3});
  answer.erase(answer.begin());  // 10.0.0.1 is not named any more
  const auto judged = judge(answer);
  EXPECT_EQ(judged.doubt, Doubt::none) << "2 of 4 is not more than half";

  guard_ = MemberGuard(rule_);
  judge(instances(4));
  answer = instances(5, {2, 3, 4});
  answer.erase(answer.begin());
  EXPECT_EQ(judge(answer).doubt, Doubt::loss);
  ASSERT_EQ(guard_.list()->size(), 5U);
  EXPECT_EQ(usable(), 5U);
  const Instances& list = *guard_.list();
  EXPECT_TRUE(list[0].is_kept);
  EXPECT_EQ(list[0].reason, "Consul does not name it any more");
  EXPECT_TRUE(list[1].is_kept);
  EXPECT_EQ(list[1].status, InstanceStatus::critical);
  EXPECT_FALSE(list[4].is_kept) << "it is new";
}

TEST_F(MemberGuardTest, CriticalOnesAreLostToo) {
  judge(instances(4));
  EXPECT_EQ(judge(instances(4, {1, 2, 3, 4})).doubt, Doubt::empty);
  EXPECT_EQ(usable(), 4U);
}

TEST_F(MemberGuardTest, AnOrderToDrainIsNoLoss) {
  judge(instances(4));
  EXPECT_EQ(judge(instances(4, {}, {1, 2, 3, 4})).doubt, Doubt::none);
  EXPECT_EQ(usable(), 0U);
}

TEST_F(MemberGuardTest, ALossOneByOneIsOneLoss) {
  judge(instances(6));
  for (const int left : {5, 4, 3}) {
    now_ms_ += 100;
    EXPECT_EQ(judge(instances(left)).doubt, Doubt::none);
  }
  now_ms_ += 100;
  EXPECT_EQ(judge(instances(2)).doubt, Doubt::loss);
  EXPECT_EQ(usable(), 3U);
}

TEST_F(MemberGuardTest, ASlowLossIsSeveral) {
  judge(instances(6));
  for (const int left : {5, 4, 3, 2}) {
    now_ms_ += MemberGuard::kPeakForMs;
    EXPECT_EQ(judge(instances(left)).doubt, Doubt::none) << left;
  }
}

TEST_F(MemberGuardTest, ALossStandsWhenItIsConfirmedInTime) {
  judge(instances(4));
  EXPECT_EQ(judge(instances(1)).confirm_in_ms, rule_.confirm_after_ms);
  now_ms_ += rule_.confirm_after_ms - 1;
  EXPECT_EQ(confirm(instances(1)).doubt, Doubt::loss) << "too early";
  EXPECT_EQ(judge(instances(1)).confirm_in_ms, 1U);
  now_ms_ += 1;
  EXPECT_EQ(judge(instances(1)).doubt, Doubt::loss) << "not read by quorum";
  const auto judged = confirm(instances(1));
  EXPECT_EQ(judged.doubt, Doubt::none);
  EXPECT_TRUE(judged.is_changed);
  EXPECT_EQ(usable(), 1U);
  EXPECT_EQ(judge(instances(1)).doubt, Doubt::none) << "from now on that is what there is";
}

TEST_F(MemberGuardTest, AnEmptyListTakesLonger) {
  judge(instances(4));
  EXPECT_EQ(judge({}).confirm_in_ms, rule_.confirm_empty_ms);
  now_ms_ += rule_.confirm_after_ms;
  EXPECT_EQ(confirm({}).doubt, Doubt::empty);
  now_ms_ += rule_.confirm_empty_ms - rule_.confirm_after_ms;
  EXPECT_EQ(confirm({}).doubt, Doubt::none);
  EXPECT_TRUE(guard_.list()->empty());
}

TEST_F(MemberGuardTest, ALossThatBecomesEmptyBeginsAnew) {
  judge(instances(4));
  judge(instances(1));
  now_ms_ += rule_.confirm_after_ms;
  EXPECT_EQ(judge({}).confirm_in_ms, rule_.confirm_empty_ms);
  EXPECT_EQ(usable(), 4U);
}

TEST_F(MemberGuardTest, WhatOurProbesReachIsKeptLonger) {
  alive_ = {"10.0.0.3:80"};
  judge(instances(4));
  EXPECT_EQ(judge(instances(1)).confirm_in_ms, rule_.confirm_after_ms * rule_.alive_factor);
  now_ms_ += rule_.confirm_after_ms;
  EXPECT_EQ(confirm(instances(1)).doubt, Doubt::loss);
  alive_.clear();
  EXPECT_EQ(confirm(instances(1)).doubt, Doubt::none) << "and now it fails them as well";
}

TEST_F(MemberGuardTest, WhatProbesReachIsNotKeptForEver) {
  alive_ = {"10.0.0.3:80"};
  judge(instances(4));
  judge({});
  now_ms_ += rule_.confirm_empty_ms * rule_.alive_factor;
  EXPECT_EQ(confirm({}).doubt, Doubt::none);
}

TEST_F(MemberGuardTest, ARecoveryEndsTheDoubtAndHalfOfOneDoesNot) {
  judge(instances(4));
  judge({});
  EXPECT_EQ(judge(instances(3)).doubt, Doubt::loss) << "one is still to come back";
  EXPECT_EQ(usable(), 4U);
  const auto judged = judge(instances(4));
  EXPECT_EQ(judged.doubt, Doubt::none);
  EXPECT_FALSE((*guard_.list())[0].is_kept);
  EXPECT_EQ(guard_.doubted_since_ms(), 0U);
}

TEST_F(MemberGuardTest, AfterALossOfStateEveryLossIsDoubted) {
  judge(instances(4));
  const auto judged = judge(instances(3), {.has_index_gone_back = true, .confirms_at_ms = 0});
  EXPECT_EQ(judged.doubt, Doubt::loss);
  EXPECT_EQ(judged.confirm_in_ms, rule_.confirm_empty_ms);
  now_ms_ += rule_.confirm_empty_ms;
  EXPECT_EQ(confirm(instances(3)).doubt, Doubt::none);
}

TEST_F(MemberGuardTest, AnIndexThatGoesBackWithoutALossIsNothing) {
  judge(instances(4));
  EXPECT_EQ(judge(instances(4), {.has_index_gone_back = true, .confirms_at_ms = 0}).doubt,
            Doubt::none);
  EXPECT_EQ(judge(instances(3)).doubt, Doubt::loss) << "soon after";
  guard_ = MemberGuard(rule_);
  judge(instances(4), {.has_index_gone_back = true, .confirms_at_ms = 0});
  now_ms_ += rule_.confirm_empty_ms;
  EXPECT_EQ(judge(instances(3)).doubt, Doubt::none) << "long after";
}

TEST_F(MemberGuardTest, ASnapshotIsDefendedLikeAList) {
  guard_.restore(instances(4), now_ms_);
  EXPECT_EQ(usable(), 4U);
  EXPECT_EQ(judge({}).doubt, Doubt::empty);
  EXPECT_EQ(usable(), 4U);
}

TEST_F(MemberGuardTest, WithoutAGuardEverythingIsBelieved) {
  rule_.is_on = false;
  guard_ = MemberGuard(rule_);
  judge(instances(4));
  EXPECT_EQ(judge({}).doubt, Doubt::none);
  EXPECT_TRUE(guard_.list()->empty());
}

TEST_F(MemberGuardTest, NothingNewIsNoChange) {
  EXPECT_TRUE(judge(instances(4)).is_changed);
  const InstanceList before = guard_.list();
  EXPECT_FALSE(judge(instances(4)).is_changed);
  EXPECT_EQ(guard_.list(), before);
}

}  // namespace
}  // namespace portunus::discovery
