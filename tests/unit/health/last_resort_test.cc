// Who is used while nobody is up, on a clock of the test.
#include "health/last_resort.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace portunus::health {
namespace {

using conf::WhenUnhealthy;

constexpr std::uint64_t kApart = 35'000;

class LastResort : public testing::Test {
 protected:
  Member& add(MemberState state, std::uint64_t since_ms, bool was_up = true) {
    Member& member = members_.emplace_back("web", std::to_string(members_.size()), net::Address());
    member.state = state;
    all_.push_back({&member, since_ms, was_up});
    return member;
  }
  ResortChange look(WhenUnhealthy rule) { return set_last_resort(all_, rule, kApart); }

  std::deque<Member> members_;
  std::vector<ResortCandidate> all_;
};

TEST_F(LastResort, NobodyWhileOneIsUpOrTheRuleIsToFail) {
  const Member& down = add(MemberState::down, 100);
  Member& other = add(MemberState::up, 100);
  for (const WhenUnhealthy rule :
       {WhenUnhealthy::fail, WhenUnhealthy::last_known, WhenUnhealthy::all}) {
    EXPECT_EQ(look(rule).used, 0U);
    EXPECT_FALSE(down.is_selectable());
  }
  // Up, though nobody may go there at the moment: those that try it are under way.
  other.trials.set(0);
  EXPECT_EQ(look(WhenUnhealthy::all).used, 0U);
  other.state = MemberState::down;
  EXPECT_EQ(look(WhenUnhealthy::fail).used, 0U);
  EXPECT_FALSE(down.is_selectable());
}

TEST_F(LastResort, AllAreThoseThatAreDown) {
  const Member& late = add(MemberState::down, 1'000'000);
  const Member& early = add(MemberState::down, 1);
  const Member& never = add(MemberState::down, 1, false);
  const ResortChange change = look(WhenUnhealthy::all);
  EXPECT_EQ(change.used, 3U);
  EXPECT_EQ(change.used_before, 0U);
  EXPECT_TRUE(change.is_any_new);
  for (const Member* member : {&late, &early, &never}) {
    EXPECT_TRUE(member->is_selectable());
    EXPECT_FALSE(member->is_healthy()) << "it is not up for that";
  }
}

TEST_F(LastResort, TheLastKnownAreThoseThatWentTogether) {
  const Member& last = add(MemberState::down, 1'000'000);
  const Member& with_it = add(MemberState::down, 1'000'000 - kApart);
  const Member& before = add(MemberState::down, 1'000'000 - kApart - 1);
  const Member& never = add(MemberState::down, 1'000'001, false);
  EXPECT_EQ(look(WhenUnhealthy::last_known).used, 2U);
  EXPECT_TRUE(last.is_selectable());
  EXPECT_TRUE(with_it.is_selectable());
  EXPECT_FALSE(before.is_selectable());
  EXPECT_FALSE(never.is_selectable());
}

TEST_F(LastResort, WhoNeverWasUpIsNotKnown) {
  add(MemberState::down, 5, false);
  add(MemberState::down, 6, false);
  EXPECT_EQ(look(WhenUnhealthy::last_known).used, 0U);
  EXPECT_EQ(look(WhenUnhealthy::all).used, 2U);
}

TEST_F(LastResort, OnlyWhatTheProbesHaveTakenOut) {
  const Member& starting = add(MemberState::starting, 0);
  const Member& ejected = add(MemberState::ejected, 0);  // its breaker is open
  const Member& draining = add(MemberState::draining, 0);
  const Member& maintenance = add(MemberState::maintenance, 0);
  EXPECT_EQ(look(WhenUnhealthy::all).used, 0U);
  const Member& down = add(MemberState::down, 0);
  EXPECT_EQ(look(WhenUnhealthy::all).used, 1U);
  EXPECT_TRUE(down.is_selectable());
  for (const Member* member : {&starting, &ejected, &draining, &maintenance})
    EXPECT_FALSE(member->is_selectable());
}

TEST_F(LastResort, WhoWentBeforeADrainedOneIsTheLastKnown) {
  const Member& old = add(MemberState::down, 1);
  add(MemberState::draining, 1'000'000);
  EXPECT_EQ(look(WhenUnhealthy::last_known).used, 1U);
  EXPECT_TRUE(old.is_selectable());
}

TEST_F(LastResort, EndsWithTheFirstThatIsUpAndTellsWhatChanges) {
  Member& one = add(MemberState::down, 10);
  Member& two = add(MemberState::down, 10);
  EXPECT_TRUE(look(WhenUnhealthy::all).is_any_new);
  const ResortChange again = look(WhenUnhealthy::all);
  EXPECT_EQ(again.used_before, 2U);
  EXPECT_FALSE(again.is_any_new);
  // An order counts at once, before anybody looks.
  two.state = MemberState::draining;
  EXPECT_FALSE(two.is_selectable());
  one.state = MemberState::up;
  const ResortChange change = look(WhenUnhealthy::all);
  EXPECT_EQ(change.used, 0U);
  EXPECT_EQ(change.used_before, 2U);
  one.state = MemberState::down;
  EXPECT_FALSE(one.is_selectable()) << "until it is looked at again";
}

TEST(SettleMs, CoversTheProbesOfOneFault) {
  const conf::Health health;  // 10 s, 5 s, three failures
  EXPECT_EQ(settle_ms(health), 35'000U);
}

}  // namespace
}  // namespace portunus::health
