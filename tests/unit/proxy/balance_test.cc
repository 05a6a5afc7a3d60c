// All policies: what they promise alike, how they share, and what they cost.
#include "proxy/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/hash.h"
#include "tests/support/allocations.h"

namespace portunus::proxy {
namespace {

using conf::Balance;

constexpr Balance kAll[] = {Balance::least_connections, Balance::round_robin, Balance::random_two,
                            Balance::consistent_hash};

std::unique_ptr<Balancer> make(Balance balance) {
  conf::Pool pool;
  pool.balance = balance;
  return make_balancer(pool);
}

// Members named m0, m1, ...; all up.
MemberList members_of(const std::vector<std::uint32_t>& weights) {
  MemberList list;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    auto member = std::make_shared<health::Member>("pool", "m" + std::to_string(i), net::Address());
    member->state = health::MemberState::up;
    list.entries.push_back({std::move(member), weights[i], false});
  }
  return list;
}

MemberList members_of(std::size_t count) {
  return members_of(std::vector<std::uint32_t>(count, 1));
}

void set_state(const MemberList& list, std::size_t i, health::MemberState state) {
  list.entries[i].member->state = state;
}

class BalanceTest : public testing::TestWithParam<Balance> {
 protected:
  void use(const MemberList& list) { balancer_->set_members(list); }
  // The index, or -1 for all_full, -2 for none.
  int pick(PickInput input = {}) {
    input.key = base::stable_hash("key", ++keys_);
    std::size_t index = 0;
    switch (balancer_->pick(input, random_, index)) {
      case PickResult::picked:
        return static_cast<int>(index);
      case PickResult::all_full:
        return -1;
      case PickResult::none:
        return -2;
    }
    return -3;
  }
  std::vector<double> count_picks(std::size_t members, int picks) {
    std::vector<double> counts(members);
    for (int i = 0; i < picks; ++i)
      ++counts[static_cast<std::size_t>(pick())];
    return counts;
  }

  std::unique_ptr<Balancer> balancer_ = make(GetParam());
  Random random_{42};
  std::uint64_t keys_ = 0;
};

std::string name_of(const testing::TestParamInfo<Balance>& policy) {
  constexpr const char* kNames[] = {"least_connections", "round_robin", "random_two",
                                    "consistent_hash"};
  return kNames[static_cast<std::size_t>(policy.param)];
}
INSTANTIATE_TEST_SUITE_P(All, BalanceTest, testing::ValuesIn(kAll), name_of);

// ---- slow start

// Three members; the last has a tenth of its weight.
TEST_P(BalanceTest, AMemberInSlowStartGetsItsShare) {
  const MemberList list = members_of(3);
  use(list);
  for (const double share : {0.1, 0.5, 0.9}) {
    list.entries[2].member->share = static_cast<std::uint32_t>(share * health::kFullShare);
    const std::vector<double> counts = count_picks(3, 20'000);
    // What it does not take of its keys on the ring is the others'.
    const bool is_ring = GetParam() == Balance::consistent_hash;
    const double expected = 20'000 * share / (is_ring ? 3 : 2 + share);
    EXPECT_NEAR(counts[2], expected, expected * 0.3) << share;
  }
}

TEST_P(BalanceTest, AnIdleMemberInSlowStartIsNotFlooded) {
  const MemberList list = members_of({10, 10, 10});
  use(list);
  list.entries[0].member->in_flight = 5;
  list.entries[1].member->in_flight = 5;
  list.entries[2].member->share = health::kFullShare / 10;
  const double expected = 20'000 * 0.1 / (GetParam() == Balance::consistent_hash ? 3 : 2.1);
  const double got = count_picks(3, 20'000)[2];
  EXPECT_LT(got, expected * 1.4);
  EXPECT_GT(got, expected * 0.6) << "and it warms up";
}

TEST_P(BalanceTest, NobodyElseMeansTheOneInSlowStart) {
  const MemberList list = members_of(3);
  use(list);
  list.entries[2].member->share = health::kFullShare / 10;
  set_state(list, 0, health::MemberState::down);
  list.entries[1].member->in_flight = 7;
  PickInput input;
  input.in_flight_max = 7;
  for (int i = 0; i < 200; ++i)
    EXPECT_EQ(pick(input), 2);
  list.entries[0].member->share = health::kFullShare / 10;
  set_state(list, 0, health::MemberState::up);
  list.entries[1].member->in_flight = 0;
  set_state(list, 1, health::MemberState::down);
  const std::vector<double> counts = count_picks(3, 2'000);
  EXPECT_GT(counts[0], 600) << "two that are as far share evenly";
  EXPECT_GT(counts[2], 600);
}

TEST_P(BalanceTest, NobodyThere) {
  EXPECT_EQ(pick(), -2);
  const MemberList empty;
  use(empty);
  EXPECT_EQ(pick(), -2);
}

TEST_P(BalanceTest, OneMemberTakesAll) {
  const MemberList list = members_of(1);
  use(list);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(pick(), 0);
}

TEST_P(BalanceTest, OnlyMembersThatAreUp) {
  for (const std::size_t count : {5U, 100U}) {
    const MemberList list = members_of(count);
    use(list);
    using enum health::MemberState;
    set_state(list, 0, down);
    set_state(list, 1, draining);
    set_state(list, 2, starting);
    set_state(list, 4, maintenance);
    std::set<int> seen;
    for (int i = 0; i < 5000; ++i)
      seen.insert(pick());
    for (const int gone : {0, 1, 2, 4})
      EXPECT_FALSE(seen.contains(gone)) << gone;
    EXPECT_EQ(seen.size(), count - 4);
    EXPECT_FALSE(seen.contains(-2));
  }
}

TEST_P(BalanceTest, TheLastOneUpIsFoundAmongThousands) {
  const MemberList list = members_of(3000);
  use(list);
  for (std::size_t i = 0; i < 3000; ++i)
    set_state(list, i, health::MemberState::down);
  EXPECT_EQ(pick(), -2);
  set_state(list, 1234, health::MemberState::up);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(pick(), 1234);
  list.entries[1234].member->in_flight = 8;
  EXPECT_EQ(pick({.key = 0, .tried = {}, .in_flight_max = 8}), -1);
}

TEST_P(BalanceTest, TriedMembersAreNotTakenAgain) {
  for (const std::size_t count : {4U, 100U}) {
    const MemberList list = members_of(count);
    use(list);
    std::vector<const health::Member*> tried;
    std::set<int> seen;
    for (std::size_t i = 0; i < count; ++i) {
      const int index = pick({.key = 0, .tried = tried, .in_flight_max = 100});
      ASSERT_GE(index, 0);
      EXPECT_TRUE(seen.insert(index).second) << index;
      tried.push_back(list.entries[static_cast<std::size_t>(index)].member.get());
    }
    EXPECT_EQ(pick({.key = 0, .tried = tried, .in_flight_max = 100}), -2);
  }
}

TEST_P(BalanceTest, FullMembersArePassedOver) {
  for (const std::size_t count : {3U, 100U}) {
    const MemberList list = members_of(count);
    use(list);
    for (const MemberEntry& entry : list.entries)
      entry.member->in_flight = 10;
    EXPECT_EQ(pick({.key = 0, .tried = {}, .in_flight_max = 10}), -1);
    EXPECT_GE(pick({.key = 0, .tried = {}, .in_flight_max = 11}), 0);
    list.entries[2].member->in_flight = 9;
    for (int i = 0; i < 20; ++i)
      EXPECT_EQ(pick({.key = 0, .tried = {}, .in_flight_max = 10}), 2);
    set_state(list, 2, health::MemberState::down);
    EXPECT_EQ(pick({.key = 0, .tried = {}, .in_flight_max = 10}), -1);
  }
}

TEST_P(BalanceTest, BackupsOnlyWhileNoPrimaryIsSelectable) {
  MemberList list = members_of(4);
  list.entries[1].is_backup = true;
  list.entries[3].is_backup = true;
  use(list);
  std::set<int> seen;
  for (int i = 0; i < 200; ++i)
    seen.insert(pick());
  EXPECT_EQ(seen, (std::set<int>{0, 2}));
  // Full is not gone: the request waits.
  list.entries[0].member->in_flight = 5;
  list.entries[2].member->in_flight = 5;
  EXPECT_EQ(pick({.key = 0, .tried = {}, .in_flight_max = 5}), -1);
  set_state(list, 0, health::MemberState::down);
  EXPECT_EQ(pick(), 2);
  set_state(list, 2, health::MemberState::down);
  seen.clear();
  for (int i = 0; i < 200; ++i)
    seen.insert(pick());
  EXPECT_EQ(seen, (std::set<int>{1, 3}));
  set_state(list, 2, health::MemberState::up);
  EXPECT_EQ(pick(), 2);
  // A primary that this exchange has tried does not keep the backups away.
  const health::Member* const tried[] = {list.entries[2].member.get()};
  EXPECT_GE(pick({.key = 0, .tried = tried, .in_flight_max = 5}), 1);
  set_state(list, 1, health::MemberState::down);
  set_state(list, 2, health::MemberState::down);
  set_state(list, 3, health::MemberState::down);
  EXPECT_EQ(pick(), -2);
}

TEST_P(BalanceTest, ANewListReplacesTheOld) {
  const MemberList old = members_of(40);
  use(old);
  ASSERT_GE(pick(), 0);
  const MemberList fresh = members_of(2);
  use(fresh);
  for (int i = 0; i < 50; ++i)
    EXPECT_LT(pick(), 2);
}

TEST_P(BalanceTest, PickingAllocatesNothing) {
  for (const std::size_t count : {3U, 500U}) {
    const MemberList list = members_of(count);
    use(list);
    ASSERT_GE(pick(), 0);
    const std::size_t before = test::allocation_count();
    int lowest = 0;
    for (int i = 0; i < 1000; ++i) {
      set_state(list, static_cast<std::size_t>(i) % (count - 1), health::MemberState::down);
      lowest = std::min(lowest, pick());
    }
    EXPECT_EQ(test::allocation_count(), before);
    EXPECT_EQ(lowest, 0);
  }
}

// With all members idle the shares follow the weights: chi-square, 4 degrees of freedom; 30 has
// odds of 1 in 200,000. The ring's shares are those of its points and are looser.
TEST_P(BalanceTest, IdleMembersShareByWeight) {
  const std::vector<std::uint32_t> weights = {1, 2, 3, 4, 10};
  const MemberList list = members_of(weights);
  use(list);
  constexpr int kPicks = 20000;
  const std::vector<double> counts = count_picks(weights.size(), kPicks);
  double chi_square = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double expected = kPicks * weights[i] / 20.0;
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    EXPECT_NEAR(counts[i] / expected, 1, 0.25) << i;
  }
  EXPECT_LT(chi_square, GetParam() == Balance::consistent_hash ? 1000 : 30);
}

TEST_P(BalanceTest, HundredsOfIdleMembersShareEvenly) {
  const MemberList list = members_of(300);
  use(list);
  const std::vector<double> counts = count_picks(300, 300 * 200);
  const auto [lowest, highest] = std::ranges::minmax(counts);
  const bool is_ring = GetParam() == Balance::consistent_hash;
  EXPECT_GT(lowest, is_ring ? 120 : 140);
  EXPECT_LT(highest, is_ring ? 290 : 265);
}

// ---- least_connections ----

class LeastConnections : public BalanceTest {};
INSTANTIATE_TEST_SUITE_P(One, LeastConnections, testing::Values(Balance::least_connections));

TEST_P(LeastConnections, TheFewestInFlightWins) {
  const MemberList list = members_of(32);
  use(list);
  for (std::uint32_t i = 0; i < 32; ++i)
    list.entries[i].member->in_flight = i == 17 ? 3 : 4 + i;
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(pick(), 17);
}

TEST_P(LeastConnections, LoadCountsByWeight) {
  const MemberList list = members_of({1, 3, 1000});
  use(list);
  list.entries[0].member->in_flight = 2;
  list.entries[1].member->in_flight = 5;
  list.entries[2].member->in_flight = 1999;
  EXPECT_EQ(pick(), 1);
  list.entries[1].member->in_flight = 6;
  EXPECT_EQ(pick(), 2);
  list.entries[2].member->in_flight = 2001;
  EXPECT_NE(pick(), 2);
}

TEST_P(LeastConnections, HeldRequestsSpreadByWeightExactly) {
  const MemberList list = members_of({1, 2, 5});
  use(list);
  for (int i = 0; i < 800; ++i)
    ++list.entries[static_cast<std::size_t>(pick())].member->in_flight;
  EXPECT_NEAR(list.entries[0].member->in_flight, 100, 1);
  EXPECT_NEAR(list.entries[1].member->in_flight, 200, 1);
  EXPECT_NEAR(list.entries[2].member->in_flight, 500, 1);
}

TEST_P(LeastConnections, HeldRequestsSpreadOverThousands) {
  const MemberList list = members_of(2000);
  use(list);
  for (int i = 0; i < 2000 * 10; ++i) {
    ++list.entries[static_cast<std::size_t>(pick())].member->in_flight;
  }
  std::uint32_t highest = 0;
  std::uint32_t lowest = 100;
  for (const MemberEntry& entry : list.entries) {
    highest = std::max(highest, entry.member->in_flight.load());
    lowest = std::min(lowest, entry.member->in_flight.load());
  }
  EXPECT_LE(highest, 11U);
  EXPECT_GE(lowest, 8U);
}

// ---- round_robin ----

// With a tenth of its weight it may have a tenth of the others' requests in flight, or the one that
// is its turn.
TEST_P(LeastConnections, ASlowMemberInSlowStartGetsLess) {
  const MemberList list = members_of(2);
  use(list);
  list.entries[0].member->in_flight = 5;
  list.entries[1].member->in_flight = 1;
  list.entries[1].member->share = health::kFullShare / 10;
  EXPECT_EQ(count_picks(2, 1'000)[1], 0);
  list.entries[0].member->in_flight = 11;
  EXPECT_GT(count_picks(2, 1'000)[1], 50);
}

// A key that has come back stays: no key moves twice.
class SlowRing : public testing::Test {};
TEST_F(SlowRing, EachKeyMovesOnce) {
  const auto balancer = make(Balance::consistent_hash);
  const MemberList list = members_of(3);
  balancer->set_members(list);
  Random random{1};
  std::set<std::uint64_t> back;
  for (std::uint32_t share = 100; share <= health::kFullShare; share += 132) {
    list.entries[1].member->share = share;
    for (std::uint64_t i = 0; i < 3'000; ++i) {
      PickInput input;
      input.key = base::stable_hash("key", i);
      std::size_t index = 0;
      ASSERT_EQ(balancer->pick(input, random, index), PickResult::picked);
      if (index == 1) {
        back.insert(i);
      } else {
        EXPECT_FALSE(back.contains(i)) << "it went away again";
      }
    }
  }
  EXPECT_GT(back.size(), 700U);
}

class RoundRobin : public BalanceTest {};
INSTANTIATE_TEST_SUITE_P(One, RoundRobin, testing::Values(Balance::round_robin));

TEST_P(RoundRobin, EqualMembersTakeTurns) {
  const MemberList list = members_of(7);
  use(list);
  std::vector<int> lap;
  for (int i = 0; i < 7; ++i)
    lap.push_back(pick());
  EXPECT_EQ(std::set<int>(lap.begin(), lap.end()).size(), 7U);
  for (int i = 0; i < 70; ++i)
    EXPECT_EQ(pick(), lap[static_cast<std::size_t>(i) % 7]);
}

TEST_P(RoundRobin, HeavyMembersDoNotTakeTheirTurnsInARow) {
  const MemberList list = members_of({5, 1, 1, 1, 1, 1});
  use(list);
  std::vector<double> counts(6);
  int in_a_row = 0;
  int longest = 0;
  for (int i = 0; i < 1000; ++i) {
    const int index = pick();
    ++counts.at(static_cast<std::size_t>(index));
    in_a_row = index == 0 ? in_a_row + 1 : 0;
    longest = std::max(longest, in_a_row);
  }
  EXPECT_NEAR(counts[0], 500, 2);
  for (std::size_t i = 1; i < 6; ++i)
    EXPECT_NEAR(counts[i], 100, 2);
  EXPECT_LE(longest, 3);
}

TEST_P(RoundRobin, WhoReturnsHasNoArrears) {
  const MemberList list = members_of(3);
  use(list);
  set_state(list, 1, health::MemberState::down);
  for (int i = 0; i < 300; ++i)
    EXPECT_NE(pick(), 1);
  set_state(list, 1, health::MemberState::up);
  const std::vector<double> counts = count_picks(3, 300);
  for (const double count : counts)
    EXPECT_NEAR(count, 100, 2);
}

// ---- random_two ----

class RandomTwo : public BalanceTest {};
INSTANTIATE_TEST_SUITE_P(One, RandomTwo, testing::Values(Balance::random_two));

TEST_P(RandomTwo, TheLessLoadedOfTwoGoes) {
  const MemberList list = members_of(2);
  use(list);
  list.entries[0].member->in_flight = 1;
  int loaded = 0;
  for (int i = 0; i < 1000; ++i)
    loaded += pick() == 0 ? 1 : 0;
  // Only when eight draws in a row hit the loaded one.
  EXPECT_LT(loaded, 20);
}

TEST_P(RandomTwo, HeldRequestsStayCloseTogether) {
  const MemberList list = members_of(500);
  use(list);
  for (int i = 0; i < 500 * 20; ++i) {
    ++list.entries[static_cast<std::size_t>(pick())].member->in_flight;
  }
  std::uint32_t highest = 0;
  for (const MemberEntry& entry : list.entries) {
    highest = std::max(highest, entry.member->in_flight.load());
  }
  EXPECT_LE(highest, 25U);  // one random choice alone gives about 35
}

// ---- consistent_hash ----

std::vector<std::string> owners(const MemberList& list, int keys) {
  const auto balancer = make(Balance::consistent_hash);
  balancer->set_members(list);
  Random random(1);
  std::vector<std::string> names;
  for (int i = 0; i < keys; ++i) {
    std::size_t index = 0;
    const PickInput input{.key = base::stable_hash("client" + std::to_string(i)), .tried = {}};
    EXPECT_EQ(balancer->pick(input, random, index), PickResult::picked);
    names.push_back(list.entries[index].member->name);
  }
  return names;
}

TEST(ConsistentHash, AKeyStaysWithItsMemberInEveryProcess) {
  const MemberList list = members_of(10);
  EXPECT_EQ(owners(list, 1000), owners(members_of(10), 1000));
  // A promise like the hash itself: other versions on the same port must agree.
  EXPECT_EQ(owners(list, 8),
            (std::vector<std::string>{"m8", "m1", "m1", "m8", "m2", "m5", "m9", "m6"}));
}

TEST_P(BalanceTest, AListMayBeEmptyForAWhile) {
  const MemberList empty;
  const MemberList list = members_of(2);
  use(empty);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(pick(), -2);
  use(list);
  EXPECT_GE(pick(), 0);
  set_state(list, 0, health::MemberState::draining);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(pick(), 1);
  use(empty);
  PickInput anybody;
  anybody.takes_suspects = true;
  EXPECT_EQ(pick(anybody), -2);
}

TEST(ConsistentHash, TheOrderOfTheListDoesNotMatter) {
  const MemberList list = members_of(10);
  MemberList other = list;
  std::ranges::reverse(other.entries);
  EXPECT_EQ(owners(list, 2000), owners(other, 2000));
}

TEST(ConsistentHash, AMemberThatLeavesMovesItsOwnKeysOnly) {
  const MemberList before = members_of(20);
  MemberList after = before;
  after.entries.erase(after.entries.begin() + 7);
  const auto old_owners = owners(before, 20000);
  const auto new_owners = owners(after, 20000);
  std::map<std::string, int> heirs;
  for (std::size_t i = 0; i < old_owners.size(); ++i) {
    if (old_owners[i] == "m7") {
      ++heirs[new_owners[i]];
    } else {
      EXPECT_EQ(old_owners[i], new_owners[i]);
    }
  }
  EXPECT_EQ(heirs.size(), 19U);  // shared out among all others
}

TEST(ConsistentHash, AMemberThatIsDownLendsItsKeysAsIfItHadLeft) {
  const MemberList list = members_of(20);
  MemberList without = list;
  without.entries.erase(without.entries.begin() + 7);
  const auto expected = owners(without, 5000);
  set_state(list, 7, health::MemberState::down);
  EXPECT_EQ(owners(list, 5000), expected);
}

TEST(ConsistentHash, WeightsOfManyHeavyMembersAreBoundedAndKept) {
  std::vector<std::uint32_t> weights(300, 1000);
  weights[0] = 1;
  weights[1] = 500;
  const MemberList list = members_of(weights);
  std::map<std::string, double> counts;
  for (const std::string& name : owners(list, 300 * 300))
    ++counts[name];
  EXPECT_NEAR(counts["m1"], 150, 60);
  EXPECT_LT(counts["m0"], 10);
}

}  // namespace
}  // namespace portunus::proxy
