// Limits are kept for pools that stay, and told to whoever reads them.
#include "proxy/concurrency_keeper.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace portunus::proxy {
namespace {

struct KeeperWorld {
  KeeperWorld() {
    add("plain").overload.max_requests = 7;
    conf::AdaptiveLimit& adaptive = add("web").overload.adaptive;
    adaptive.is_on = true;
    adaptive.initial = 16;
    adaptive.min = 1;
  }
  conf::Pool& add(const std::string& name) {
    shares.push_back(std::make_shared<PoolShare>());
    conf::Pool& pool = model.pools.emplace_back();
    pool.name = name;
    return pool;
  }
  // Half a second with answers that took so long each.
  std::vector<SharedPoolShare> pass(std::uint64_t each_ms) {
    PoolShare& share = *shares[1];
    share.answers += 20;
    share.latency_ns += 20 * each_ms * 1'000'000;
    if (share.requests.load() > 1) ++share.held_back;
    now_ms += health::ConcurrencyLimit::kWindowMs;
    return keeper.step(now_ms);
  }
  // A quiet window, and one in which more requests came than were let in.
  std::vector<SharedPoolShare> begin() {
    keeper.configure(model, shares);
    shares[1]->requests = 1;
    pass(10);
    pass(10);
    shares[1]->requests = shares[1]->limit.load();
    return pass(10);
  }

  conf::Model model;
  std::vector<SharedPoolShare> shares;
  ConcurrencyKeeper keeper;
  std::uint64_t now_ms = 1'000;
};

TEST(ConcurrencyKeeper, TellsTheThreadsAndWhoseLimitHasRisen) {
  KeeperWorld world;
  world.keeper.configure(world.model, world.shares);
  EXPECT_EQ(world.shares[1]->limit.load(), 16U);
  const std::vector<SharedPoolShare> raised = world.begin();
  EXPECT_TRUE(world.keeper.is_needed());
  EXPECT_EQ(world.shares[0]->limit.load(), 0U);
  EXPECT_EQ(world.shares[0]->bound(world.model.pools[0].overload), 7U);
  ASSERT_EQ(raised.size(), 1U);
  EXPECT_EQ(raised[0], world.shares[1]);
  EXPECT_EQ(world.shares[1]->limit.load(), 20U);
  EXPECT_EQ(world.shares[1]->bound(world.model.pools[1].overload), 20U);

  // Slower: a quarter of it, to see whether it is the load; nobody is to be woken for that.
  EXPECT_TRUE(world.pass(100).empty());
  EXPECT_EQ(world.shares[1]->limit.load(), 5U);
  EXPECT_TRUE(world.keeper.view("web")->is_throttling);
}

TEST(ConcurrencyKeeper, KeepsWhatIsKnownOfAPoolThatStays) {
  KeeperWorld world;
  world.begin();
  ASSERT_EQ(world.keeper.view("web")->limit, 20U);

  world.model.pools[1].overload.adaptive.initial = 3;  // of a limit that begins
  world.keeper.configure(world.model, world.shares);
  EXPECT_EQ(world.keeper.view("web")->limit, 20U);
  EXPECT_EQ(world.keeper.view("web")->alone_ns, 10'000'000U);

  world.shares[1] = std::make_shared<PoolShare>();  // it had left, and has come back
  world.keeper.configure(world.model, world.shares);
  EXPECT_EQ(world.keeper.view("web")->limit, 3U);
  EXPECT_EQ(world.shares[1]->limit.load(), 3U);

  world.model.pools[1].overload.adaptive.is_on = false;
  world.keeper.configure(world.model, world.shares);
  EXPECT_FALSE(world.keeper.is_needed());
  EXPECT_FALSE(world.keeper.view("web"));
}

TEST(ConcurrencyKeeper, ShowsNothingOfOtherPools) {
  KeeperWorld world;
  world.keeper.configure(world.model, world.shares);
  EXPECT_FALSE(world.keeper.view("plain"));
  EXPECT_FALSE(world.keeper.view("nobody"));
  world.shares[1]->requests = 4;
  EXPECT_EQ(world.keeper.view("web")->in_flight, 4U);
  EXPECT_EQ(world.keeper.view("web")->latency_ns, 0U);
}

}  // namespace
}  // namespace portunus::proxy
