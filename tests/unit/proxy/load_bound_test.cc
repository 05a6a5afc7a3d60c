// What a bound on loads makes of consistent_hash: nobody has too much, and nothing moves without need.
#include "proxy/load_bound.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/hash.h"
#include "tests/support/allocations.h"

namespace portunus::proxy {
namespace {

constexpr double kBound = 0.25;

std::unique_ptr<Balancer> ring_with(double bound) {
  conf::Pool pool;
  pool.balance = conf::Balance::consistent_hash;
  pool.hash_bound_ratio = bound;
  return make_balancer(pool);
}

MemberList bounded_list(const std::vector<std::uint32_t>& weights) {
  MemberList list;
  for (const std::uint32_t weight : weights) {
    auto member = std::make_shared<health::Member>(
        "pool", "m" + std::to_string(list.entries.size()), net::Address());
    member->state = health::MemberState::up;
    list.entries.push_back({std::move(member), weight, false});
  }
  return list;
}

MemberList bounded_list(std::size_t count) {
  return bounded_list(std::vector<std::uint32_t>(count, 1));
}

class BoundedRing {
 public:
  explicit BoundedRing(const MemberList& list, double bound = kBound)
      : list_(list), balancer_(ring_with(bound)) {
    balancer_->set_members(list);
  }
  // The index of who gets the request; it is under way from then on.
  std::size_t begin(std::uint64_t key) {
    const std::size_t index = pick(key);
    ++list_.entries[index].member->in_flight;
    return index;
  }
  std::size_t pick(std::uint64_t key) {
    std::size_t index = 0;
    EXPECT_EQ(balancer_->pick({.key = key, .tried = {}}, random_, index), PickResult::picked);
    return index;
  }
  Balancer& balancer() { return *balancer_; }

 private:
  const MemberList& list_;
  std::unique_ptr<Balancer> balancer_;
  Random random_{1};
};

// What a member may have before it gets another one, by looking at everybody.
double most_of(const MemberList& list, std::size_t index, double bound) {
  double in_flight = 1;
  double weights = 0;
  for (const MemberEntry& entry : list.entries) {
    if (!entry.member->is_selectable()) continue;
    in_flight += entry.member->in_flight.load();
    weights += static_cast<double>(entry.weight) * entry.member->share.load();
  }
  const MemberEntry& entry = list.entries[index];
  return (1 + bound) * in_flight * entry.weight * entry.member->share.load() / weights;
}

// Requests come and go, all with a few keys, members with them: nobody gets one more than it may have.
TEST(LoadBoundProperty, NobodyIsAboveTheBound) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    std::vector<std::uint32_t> weights;
    for (std::uint32_t i = 2 + random.below(LoadBound::kLooks - 1); i > 0; --i)
      weights.push_back(1 + random.below(5));
    const MemberList list = bounded_list(weights);
    const double bound = 0.01 * (1 + random.below(100));
    BoundedRing ring(list, bound);
    std::vector<std::size_t> running;
    for (int event = 0; event < 2'000; ++event) {
      const std::uint32_t what = random.below(20);
      if (what < 8 && !running.empty()) {
        std::swap(running[random.below(static_cast<std::uint32_t>(running.size()))],
                  running.back());
        --list.entries[running.back()].member->in_flight;
        running.pop_back();
      } else if (what == 8) {  // the first one stays
        const std::size_t any = 1 + random.below(static_cast<std::uint32_t>(weights.size() - 1));
        list.entries[any].member->state =
            random.below(3) == 0 ? health::MemberState::down : health::MemberState::up;
      } else {
        const std::uint64_t key = base::stable_hash("key", random.below(3));
        const std::size_t index = ring.pick(key);
        const std::uint32_t load = list.entries[index].member->in_flight.load();
        ASSERT_LT(load, most_of(list, index, bound) + 1e-6) << "seed " << seed << " at " << event;
        ++list.entries[index].member->in_flight;
        running.push_back(index);
      }
    }
  }
}

// More than are looked at for one pick: sums are a little old, and the bound a little less sharp.
TEST(LoadBoundProperty, ManyMembersShareOneKey) {
  const MemberList list = bounded_list(500);
  BoundedRing ring(list);
  Random random(3);
  std::vector<std::size_t> running;
  for (int i = 0; i < 60'000; ++i) {
    if (running.size() == 5'000) {
      std::swap(running[random.below(5'000)], running.back());
      --list.entries[running.back()].member->in_flight;
      running.pop_back();
    }
    running.push_back(ring.begin(7));
  }
  std::uint32_t most = 0;
  for (const MemberEntry& entry : list.entries)
    most = std::max(most, entry.member->in_flight.load());
  EXPECT_LE(most, 14U) << "ten each; 12.5 would be exact";
}

TEST(LoadBoundProperty, NothingMovesWhileNobodyHasTooMuch) {
  const MemberList list = bounded_list({1, 2, 3, 4, 5});
  BoundedRing free(list, 0);
  BoundedRing bounded(list);
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    const std::uint64_t key = base::stable_hash("key", i);
    ASSERT_EQ(free.pick(key), bounded.pick(key));
  }
  EXPECT_EQ(bounded.balancer().take_passed_over(), 0U);
}

// The keys of those that have room stay where they are, and those of the others come back.
TEST(LoadBoundProperty, OnlyTheKeysOfTheBusyMove) {
  const MemberList list = bounded_list(10);
  BoundedRing free(list, 0);
  BoundedRing bounded(list);
  list.entries[3].member->in_flight = 10;
  std::uint64_t moved = 0;
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    const std::uint64_t key = base::stable_hash("key", i);
    const std::size_t home = free.pick(key);
    const std::size_t got = bounded.pick(key);
    ASSERT_EQ(got == home, home != 3);
    if (home == 3) ++moved;
  }
  EXPECT_GT(moved, 200U);
  EXPECT_EQ(bounded.balancer().take_passed_over(), moved);
  EXPECT_EQ(bounded.balancer().take_passed_over(), 0U) << "told once";
  list.entries[3].member->in_flight = 0;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    const std::uint64_t key = base::stable_hash("key", i);
    ASSERT_EQ(bounded.pick(key), free.pick(key));
  }
}

TEST(LoadBound, WithoutOneAKeyStaysWhereItIs) {
  const MemberList list = bounded_list(3);
  BoundedRing ring(list, 0);
  const std::size_t home = ring.begin(1);
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(ring.begin(1), home);
  EXPECT_EQ(ring.balancer().take_passed_over(), 0U);
}

// Shares are among those that are up: of three, two that are left have half each.
TEST(LoadBound, WhoIsDownHasNoShare) {
  const MemberList list = bounded_list(3);
  list.entries[1].member->state = health::MemberState::down;
  BoundedRing ring(list);
  for (int i = 0; i < 100; ++i)
    ring.begin(1);
  EXPECT_EQ(list.entries[1].member->in_flight, 0U);
  EXPECT_NEAR(
      std::max(list.entries[0].member->in_flight.load(), list.entries[2].member->in_flight.load()),
      62.5, 1);
}

TEST(LoadBound, AMemberInSlowStartHasTheShareOfTheMoment) {
  const MemberList list = bounded_list(2);
  list.entries[0].member->share = health::kFullShare / 10;
  BoundedRing ring(list, 0.5);
  Random random(5);
  for (int i = 0; i < 1'100; ++i)
    ring.begin(random.next());
  EXPECT_LE(list.entries[0].member->in_flight, 151U);
  EXPECT_GE(list.entries[0].member->in_flight, 30U);
}

// What was last seen of many may be old: then the least loaded of those that were met goes.
TEST(LoadBound, WhenAllSeemToHaveTooMuchSomebodyGoes) {
  const MemberList list = bounded_list(1'000);
  BoundedRing ring(list);
  for (const MemberEntry& entry : list.entries)
    entry.member->in_flight = 100;
  std::size_t index = 0;
  Random random(1);
  EXPECT_EQ(ring.balancer().pick({.key = 5, .tried = {}}, random, index), PickResult::picked);
  PickInput full{.key = 5, .tried = {}, .in_flight_max = 100};
  EXPECT_EQ(ring.balancer().pick(full, random, index), PickResult::all_full);
}

TEST(LoadBound, AllocatesNothing) {
  const MemberList list = bounded_list(200);
  BoundedRing ring(list);
  ring.begin(1);
  const std::size_t before = test::allocation_count();
  for (std::uint64_t i = 0; i < 100; ++i)
    ring.begin(i % 3);
  EXPECT_EQ(test::allocation_count(), before);
}

}  // namespace
}  // namespace portunus::proxy
