// proxy::Pool on a real loop: which connection is lent, who waits, what a change of members leaves behind.
// ProxyWorld checks at the end that every lease and connection has come back.
#include "proxy/pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/proxy_world.h"

namespace portunus::proxy {
namespace {

using test::Peer;
using test::ProxyWorld;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

struct Waiter final : PoolWaiter {
  void on_dialled(base::Error why) override {
    ++dialled;
    failure = why;
    if (at_dialled) at_dialled();
  }
  void on_woken() override {
    ++woken;
    if (log != nullptr) *log += name;
    if (again != nullptr) {
      EXPECT_TRUE(again->wait(*this, WaitFor::room, true));
    }
    if (from == nullptr) return;
    PickInput input;
    input.in_flight_max = from->settings().max_connections_per_upstream;
    EXPECT_EQ(from->lease(input, {}, lease), PickResult::picked);
  }
  int dialled = 0;
  int woken = 0;
  base::Error failure;
  std::function<void()> at_dialled;
  Pool* again = nullptr;  // waits again at once
  Pool* from = nullptr;   // takes the room
  Lease lease;
  std::string* log = nullptr;
  char name = '?';
};

class PoolTest : public testing::Test {
 protected:
  conf::Pool& settings() { return world_.model->pools[0]; }
  void start() {
    for (auto& member : world_.members)
      member->listen();
    world_.start();
    pool_ = &world_.pool();
  }
  PickResult pick(Lease& lease, LeaseWish wish = {}) {
    PickInput input;
    input.in_flight_max = pool_->settings().max_connections_per_upstream;
    PickResult result = PickResult::none;
    world_.driver.turn([&] { result = pool_->lease(input, wish, lease); });
    return result;
  }
  void dial(Lease& lease) {
    Waiter waiter;
    world_.driver.turn([&] {
      pool_->dial(lease, waiter);
      EXPECT_EQ(waiter.dialled, 0);
    });
    ASSERT_TRUE(world_.driver.run_until([&] { return waiter.dialled == 1; }));
    ASSERT_FALSE(waiter.failure.is_error()) << waiter.failure.detail;
    world_.driver.settle();
  }
  // A lease with a connection that has just been opened.
  Lease fresh() {
    Lease lease;
    EXPECT_EQ(pick(lease, {.needs_fresh = true}), PickResult::picked);
    EXPECT_EQ(lease.stream, nullptr);
    dial(lease);
    return lease;
  }
  // One request and its answer, so that the connection may be kept.
  void serve(Lease& lease, Peer& member) {
    test::RecorderHandler handler;
    world_.driver.turn([&] {
      http::Head head;
      head.clear();
      head.method = http::Method::get;
      head.method_text = "GET";
      head.path = "/";
      head.fields.add(http::HeaderId::host, "x");
      lease.stream->begin(handler);
      lease.stream->send_head(head, true);
    });
    world_.driver.settle();
    member.send(kOk);
    world_.driver.settle();
    EXPECT_EQ(handler.events, "head 200; body ok; end; ");
    release(lease);
  }
  void release(Lease& lease) {
    world_.driver.turn([&] { pool_->release(lease); });
    EXPECT_EQ(lease.slot, nullptr);
    world_.driver.settle();
  }
  bool wait(Waiter& waiter) {
    bool is_in = false;
    world_.driver.turn([&] { is_in = pool_->wait(waiter, WaitFor::room, false); });
    return is_in;
  }
  [[nodiscard]] static SharedMember new_member(std::uint16_t port) {
    auto member = std::make_shared<health::Member>(
        "app", "m" + std::to_string(port), net::Address::parse_ip("127.0.0.1", port).value());
    member->state = health::MemberState::up;
    return member;
  }
  void configure(std::vector<SharedMember> members) {
    auto list = std::make_shared<MemberList>();
    for (SharedMember& member : members)
      list->entries.push_back({std::move(member), 1, false});
    world_.driver.turn([&] {
      pool_->configure(world_.generation->model->pools[0], list, world_.generation->pool_shares[0]);
    });
    world_.driver.settle();
  }
  SharedMember shared_member(std::size_t i) {
    return world_.generation->members[0]->entries[i].member;
  }

  ProxyWorld world_{1};
  Pool* pool_ = nullptr;
};

// ---- connections ----

TEST_F(PoolTest, LendsTheConnectionThatWasUsedLast) {
  start();
  Lease a = fresh();
  Lease b = fresh();
  EXPECT_EQ(world_.member(0).in_flight.load(), 2U);
  EXPECT_EQ(world_.member(0).connections.load(), 2U);
  http::ClientStream* const connections[] = {a.stream, b.stream};
  serve(b, world_.connection(0, 1));
  serve(a, world_.connection(0, 0));
  EXPECT_EQ(world_.member(0).in_flight.load(), 0U);
  EXPECT_EQ(world_.member(0).connections.load(), 2U);
  Lease again[3];
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(pick(again[i]), PickResult::picked);
    EXPECT_EQ(again[i].stream, connections[i]);
    EXPECT_TRUE(again[i].is_reused);
  }
  ASSERT_EQ(pick(again[2]), PickResult::picked);
  EXPECT_EQ(again[2].stream, nullptr);
  for (Lease& lease : again)
    release(lease);
  EXPECT_EQ(world_.member(0).connections.load(), 0U) << "none of them has been through an exchange";
}

TEST_F(PoolTest, AFreshOneIsFreshThoughOthersAreIdle) {
  start();
  Lease a = fresh();
  serve(a, world_.connection());
  Lease b;
  ASSERT_EQ(pick(b, {.needs_fresh = true}), PickResult::picked);
  EXPECT_EQ(b.stream, nullptr);
  release(b);
  EXPECT_EQ(world_.member(0).connections.load(), 1U);
}

// Only for what could not be repeated the connection is looked at before it is lent.
TEST_F(PoolTest, LooksWhetherAConnectionIsStale) {
  for (const bool is_repeatable : {true, false}) {
    ProxyWorld* world = &world_;
    if (pool_ == nullptr) start();
    Lease a = fresh();
    serve(a, *world->members[0]->peers.back());
    world->members[0]->peers.back()->end_writing();
    world->driver.deliver();
    Lease b;
    ASSERT_EQ(pick(b, {.is_repeatable = is_repeatable}), PickResult::picked);
    EXPECT_EQ(b.stream != nullptr, is_repeatable);
    release(b);
    world->driver.settle();
    EXPECT_EQ(world->member(0).connections.load(), 0U);
  }
}

TEST_F(PoolTest, AnIdleConnectionThatEndsIsForgotten) {
  start();
  Lease a = fresh();
  serve(a, world_.connection());
  world_.connection().end_writing();
  world_.driver.settle();
  EXPECT_EQ(world_.member(0).connections.load(), 0U);
  EXPECT_FALSE(pool_->has_open_connections());
}

TEST_F(PoolTest, ARefusedConnectIsReportedOnce) {
  int reports = 0;
  world_.context.owner = &reports;
  world_.context.report_suspect = [](void* owner, const SharedMember&) {
    ++*static_cast<int*>(owner);
  };
  world_.start();  // nobody listens
  pool_ = &world_.pool();
  for (int i = 0; i < 2; ++i) {
    Lease lease;
    ASSERT_EQ(pick(lease), PickResult::picked) << "the only member, suspect or not";
    Waiter waiter;
    waiter.at_dialled = [&] {
      pool_->release(lease);
    };
    world_.driver.turn([&] { pool_->dial(lease, waiter); });
    ASSERT_TRUE(world_.driver.run_until([&] { return waiter.dialled == 1; }));
    EXPECT_EQ(waiter.failure.reason, base::EndReason::upstream_connect);
  }
  EXPECT_EQ(reports, 1);
  EXPECT_TRUE(world_.member(0).is_suspect.load());
}

// No descriptor left: that says nothing about the member.
TEST_F(PoolTest, OurOwnShortageMakesNobodySuspect) {
  start();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
  Lease lease;
  ASSERT_EQ(pick(lease), PickResult::picked);
  Waiter waiter;
  waiter.at_dialled = [&] {
    pool_->release(lease);
  };
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  world_.driver.turn([&] { pool_->dial(lease, waiter); });
  const bool was_told = world_.driver.run_until([&] { return waiter.dialled == 1; });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(was_told);
  EXPECT_STREQ(waiter.failure.detail, "out of file descriptors");
  EXPECT_FALSE(world_.member(0).is_suspect.load());
}

// The attempt is over before its connection stands.
TEST_F(PoolTest, AnAbandonedDialIsClosed) {
  start();
  Lease lease;
  ASSERT_EQ(pick(lease), PickResult::picked);
  Waiter waiter;
  world_.driver.turn([&] {
    pool_->dial(lease, waiter);
    pool_->release(lease);
  });
  world_.driver.settle();
  EXPECT_EQ(waiter.dialled, 0);
  EXPECT_FALSE(pool_->has_open_connections());
}

// ---- who waits ----

TEST_F(PoolTest, FirstComeFirstServed) {
  settings().max_connections_per_upstream = 1;
  settings().overload.max_pending = 3;
  start();
  Lease held = fresh();
  Lease none;
  EXPECT_EQ(pick(none), PickResult::all_full);
  EXPECT_EQ(none.slot, nullptr);
  std::string log;
  Waiter waiters[4];
  for (int i = 0; i < 4; ++i) {
    waiters[i].log = &log;
    waiters[i].name = static_cast<char>('a' + i);
    waiters[i].from = pool_;
    EXPECT_EQ(wait(waiters[i]), i < 3) << i;
  }
  EXPECT_EQ(pool_->queue_length(), 3U);
  EXPECT_EQ(world_.generation->pool_shares[0]->pending.load(), 3U);
  EXPECT_EQ(world_.member(0).waiting_threads.load(), 1U);
  world_.driver.turn([&] { pool_->leave_queue(waiters[1]); });
  world_.driver.turn([&] { pool_->leave_queue(waiters[1]); });  // nothing to do
  EXPECT_EQ(pool_->queue_length(), 2U);
  release(held);
  EXPECT_EQ(log, "a");
  EXPECT_EQ(pick(none), PickResult::all_full);
  release(waiters[0].lease);
  EXPECT_EQ(log, "ac");
  release(waiters[2].lease);
  EXPECT_EQ(world_.member(0).waiting_threads.load(), 0U);
}

// ---- requests of the whole pool ----

TEST_F(PoolTest, APlaceIsTakenOnceForEachLease) {
  settings().overload.max_requests = 2;
  start();
  const std::atomic<std::uint32_t>& requests = world_.generation->pool_shares[0]->requests;
  Lease leases[3];
  EXPECT_EQ(pick(leases[0]), PickResult::picked);
  EXPECT_EQ(pick(leases[1]), PickResult::picked);
  EXPECT_EQ(pick(leases[2]), PickResult::all_full);
  EXPECT_TRUE(pool_->is_at_bound());
  EXPECT_EQ(world_.member(0).in_flight.load(), 2U);
  release(leases[1]);
  EXPECT_EQ(requests.load(), 1U);
  world_.member(0).state = health::MemberState::down;
  EXPECT_EQ(pick(leases[2]), PickResult::none);
  EXPECT_EQ(requests.load(), 1U) << "nobody was picked";
  release(leases[0]);
  EXPECT_EQ(requests.load(), 0U);
}

// `overload.adaptive`: the control thread's bound, or the first one until it has told one.
TEST_F(PoolTest, TheBoundMayBeToldFromOutside) {
  settings().overload.adaptive.is_on = true;
  settings().overload.adaptive.initial = 1;
  start();
  PoolShare& share = *world_.generation->pool_shares[0];
  Lease leases[3];
  EXPECT_EQ(pick(leases[0]), PickResult::picked);
  EXPECT_EQ(share.held_back.load(), 0U);
  EXPECT_EQ(pick(leases[1]), PickResult::all_full);
  EXPECT_EQ(share.held_back.load(), 1U);
  share.limit = 2;
  EXPECT_EQ(pick(leases[1]), PickResult::picked);
  EXPECT_EQ(pick(leases[2]), PickResult::all_full);
  share.limit = 1;  // nobody is thrown out
  release(leases[0]);
  EXPECT_EQ(pick(leases[2]), PickResult::all_full);
  release(leases[1]);
  EXPECT_EQ(pick(leases[2]), PickResult::picked);
  release(leases[2]);
  EXPECT_EQ(share.requests.load(), 0U);
  world_.driver.turn([&] {
    pool_->note_latency(30);
    pool_->note_latency(12);
  });
  EXPECT_EQ(share.answers.load(), 2U);
  EXPECT_EQ(share.latency_ns.load(), 42U);
}

// Its member has left the list of those who wait, but its place is one of the pool.
TEST_F(PoolTest, APlaceThatIsGivenBackWakesAnotherThread) {
  std::size_t woken = 99;
  world_.context.owner = &woken;
  world_.context.wake_thread = [](void* owner, std::size_t thread, PoolTurn turn) {
    *static_cast<std::size_t*>(owner) = thread;
    EXPECT_TRUE(turn.has_place);
    turn.let_go();
  };
  settings().overload.max_requests = 1;
  start();
  Lease lease = fresh();
  configure({new_member(1)});
  world_.generation->pool_shares[0]->waiting_threads.fetch_or(std::uint64_t{1} << 5);
  release(lease);
  EXPECT_EQ(woken, 5U);
  world_.generation->pool_shares[0]->waiting_threads.fetch_and(~(std::uint64_t{1} << 5));
  configure({shared_member(0)});
}

TEST_F(PoolTest, PlacesMoveToAnotherShare) {
  settings().overload.max_requests = 1;
  start();
  Lease lease = fresh();
  Waiter waiter;
  EXPECT_TRUE(wait(waiter));
  const SharedPoolShare before = world_.generation->pool_shares[0];
  const auto after = std::make_shared<PoolShare>();
  EXPECT_EQ(before->waiting_threads.load(), 1U);
  waiter.again = pool_;
  world_.driver.turn([&] {
    pool_->configure(world_.generation->model->pools[0], world_.generation->members[0], after);
  });
  EXPECT_EQ(before->requests.load() + before->waiting_threads.load(), 0U);
  EXPECT_EQ(after->requests.load(), 1U);
  EXPECT_EQ(after->waiting_threads.load(), 1U);
  waiter.again = nullptr;
  release(lease);
  EXPECT_EQ(after->requests.load(), 0U);
  EXPECT_EQ(after->waiting_threads.load(), 0U);
  EXPECT_EQ(waiter.woken, 2);
}

// With the bound switched on by a reload, those before it hold no place.
TEST_F(PoolTest, ABoundMayComeAndGo) {
  start();
  Lease old = fresh();
  auto bounded = world_.generation->model->pools[0];
  bounded.overload.max_requests = 1;
  world_.driver.turn([&] { pool_->move_settings(bounded); });
  Lease lease = fresh();
  EXPECT_TRUE(lease.has_place);
  Lease none;
  EXPECT_EQ(pick(none), PickResult::all_full);
  release(old);
  EXPECT_EQ(pick(none), PickResult::all_full);
  world_.driver.turn([&] { pool_->move_settings(world_.generation->model->pools[0]); });
  release(lease);
  EXPECT_EQ(world_.generation->pool_shares[0]->requests.load(), 0U);
}

// A round wakes each once, and whoever finds no room keeps its place among the others.
TEST_F(PoolTest, ARoundKeepsTheOrder) {
  start();
  std::string log;
  Waiter waiters[3];
  for (int i = 0; i < 3; ++i) {
    waiters[i].log = &log;
    waiters[i].name = static_cast<char>('a' + i);
    waiters[i].again = pool_;
    EXPECT_TRUE(wait(waiters[i]));
  }
  for (const char* expected : {"abc", "abcabc"}) {
    world_.driver.turn([&] { pool_->wake_waiters(); });
    EXPECT_EQ(log, expected);
    EXPECT_EQ(pool_->queue_length(), 3U);
  }
  // The room goes to the first that has a use for it, and those before it have their turns again.
  waiters[1].again = nullptr;
  waiters[1].from = pool_;
  Lease lease = fresh();
  log.clear();
  release(lease);
  EXPECT_EQ(log, "ab");
  EXPECT_EQ(pool_->queue_length(), 2U);
  log.clear();
  release(waiters[1].lease);
  EXPECT_EQ(log, "ac");
  EXPECT_EQ(world_.generation->pool_shares[0]->pending.load(), 2U);
  world_.driver.turn([&] {
    for (Waiter& waiter : waiters)
      pool_->leave_queue(waiter);
  });
}

// However many wait, a request that ends is not held up by all of them.
TEST_F(PoolTest, ManyThatHaveNoUseForTheRoomAreNotAllAsked) {
  start();
  std::vector<Waiter> waiters(100);
  for (Waiter& waiter : waiters) {
    waiter.again = pool_;
    EXPECT_TRUE(wait(waiter));
  }
  Lease lease = fresh();
  release(lease);
  EXPECT_EQ(std::ranges::count_if(waiters, [](const Waiter& waiter) { return waiter.woken > 0; }),
            16);
  EXPECT_EQ(pool_->queue_length(), 100U);
  world_.driver.turn([&] {
    for (Waiter& waiter : waiters)
      pool_->leave_queue(waiter);
  });
}

// Who gets in and is out again at once leaves the room to the next, without one call in another.
TEST_F(PoolTest, ARequestThatEndsAtOnceLeavesItsRoomToTheNext) {
  struct Short final : PoolWaiter {
    void on_dialled(base::Error /*why*/) override {}
    void on_woken() override {
      ++depth;
      EXPECT_EQ(depth, 1);
      Lease lease;
      PickInput input;
      input.in_flight_max = 1;
      EXPECT_EQ(pool->lease(input, {}, lease), PickResult::picked);
      pool->release(lease);
      ++woken;
      --depth;
    }
    Pool* pool = nullptr;
    int depth = 0;
    int woken = 0;
  };
  settings().max_connections_per_upstream = 1;
  start();
  Lease held = fresh();
  Short waiters[40];
  for (Short& waiter : waiters) {
    waiter.pool = pool_;
    world_.driver.turn([&] { EXPECT_TRUE(pool_->wait(waiter, WaitFor::room, false)); });
  }
  release(held);
  while (pool_->queue_length() > 0) {
    const std::size_t before = pool_->queue_length();
    held = fresh();
    release(held);
    ASSERT_LT(pool_->queue_length(), before);
  }
  for (const Short& waiter : waiters)
    EXPECT_EQ(waiter.woken, 1);
  EXPECT_EQ(world_.member(0).in_flight.load(), 0U);
}

// Other threads that wait for the member get the room every other time.
TEST_F(PoolTest, ThreadsTakeTurns) {
  struct Turn {
    std::size_t thread;
    PoolTurn turn;
  };
  std::vector<Turn> turns;
  world_.context.owner = &turns;
  world_.context.thread = 1;
  world_.context.wake_thread = [](void* owner, std::size_t thread, PoolTurn turn) {
    static_cast<std::vector<Turn>*>(owner)->push_back({thread, std::move(turn)});
  };
  settings().max_connections_per_upstream = 1;
  start();
  Lease lease = fresh();
  release(lease);
  EXPECT_TRUE(turns.empty()) << "nobody waits";
  world_.member(0).waiting_threads = (1U << 0) | (1U << 3);
  lease = fresh();
  release(lease);
  ASSERT_EQ(turns.size(), 1U);
  EXPECT_EQ(turns[0].thread, 3U) << "the next one above";
  EXPECT_EQ(pick(lease), PickResult::all_full) << "the room is theirs before they are awake";
  EXPECT_TRUE(turns[0].turn.let_go());
  EXPECT_FALSE(turns[0].turn.let_go());
  EXPECT_EQ(world_.member(0).in_flight.load(), 0U);

  lease = fresh();
  Waiter own[2];
  for (Waiter& waiter : own) {
    waiter.from = pool_;
    EXPECT_TRUE(wait(waiter));
  }
  release(lease);
  EXPECT_EQ(own[0].woken, 1) << "the others had their turn";
  EXPECT_EQ(turns.size(), 1U);
  world_.member(0).waiting_threads = (1U << 0) | (1U << 1);
  release(own[0].lease);
  ASSERT_EQ(turns.size(), 2U);
  EXPECT_EQ(turns[1].thread, 0U) << "around";
  EXPECT_EQ(own[1].woken, 0);
  EXPECT_TRUE(turns[1].turn.let_go());
  // They had no use for it: it comes back, and nobody is given anything.
  world_.member(0).waiting_threads = 1U << 1;
  world_.driver.turn([&] { pool_->take_turn({.pool = turns[1].turn.pool}); });
  EXPECT_EQ(own[1].woken, 1);
  EXPECT_EQ(own[1].lease.slot != nullptr, true);
  release(own[1].lease);
  EXPECT_EQ(turns.size(), 2U);
}

// A turn that comes when nobody waits here any more, or that nobody has a use for, is passed on once.
TEST_F(PoolTest, ATurnIsPassedOn) {
  std::vector<PoolTurn> turns;
  world_.context.owner = &turns;
  world_.context.wake_thread = [](void* owner, std::size_t /*thread*/, PoolTurn turn) {
    static_cast<std::vector<PoolTurn>*>(owner)->push_back(std::move(turn));
  };
  start();
  const SharedPoolShare share = world_.generation->pool_shares[0];
  const auto take = [&] {
    PoolTurn turn{.pool = share, .member = shared_member(0), .is_let_go = true};
    world_.driver.turn([&] { pool_->take_turn(turn); });
  };
  share->pending.fetch_add(1);
  world_.member(0).waiting_threads = 1U << 5;
  take();
  EXPECT_EQ(turns.size(), 1U);
  Waiter waiter;
  waiter.again = pool_;
  EXPECT_TRUE(wait(waiter));
  take();
  EXPECT_EQ(waiter.woken, 1);
  EXPECT_EQ(turns.size(), 2U);
  EXPECT_EQ(turns.back().member, nullptr);
  waiter.again = nullptr;
  waiter.from = pool_;
  take();
  EXPECT_EQ(waiter.woken, 2);
  EXPECT_EQ(turns.size(), 2U) << "used";
  world_.driver.turn([&] { pool_->take_turn({.pool = std::make_shared<PoolShare>()}); });
  EXPECT_EQ(turns.size(), 2U) << "of another pool";
  Waiter late;
  late.from = pool_;
  EXPECT_TRUE(wait(late));
  PoolTurn old{
      .pool = std::make_shared<PoolShare>(), .member = shared_member(0), .is_let_go = true};
  world_.driver.turn([&] { pool_->take_turn(old); });
  EXPECT_EQ(late.woken, 1) << "of this pool, before a reload";
  world_.member(0).waiting_threads = 0;
  release(late.lease);
  share->pending.fetch_sub(1);
  release(waiter.lease);
}

// ---- a change of members ----

TEST_F(PoolTest, AMemberThatLeavesLosesItsConnections) {
  world_.members.push_back(std::make_unique<test::PeerListener>(world_.driver));
  world_.members[1]->listen();
  start();
  Lease idle = fresh();
  Lease busy = fresh();
  serve(idle, world_.connection(0, 0));
  const SharedMember before = shared_member(0);
  const SharedMember after = new_member(world_.members[1]->port());
  configure({after});
  EXPECT_TRUE(world_.connection(0, 0).is_over()) << "idle: at once";
  EXPECT_FALSE(world_.connection(0, 1).is_over());
  EXPECT_EQ(before->connections.load(), 1U);
  serve(busy, world_.connection(0, 1));
  EXPECT_TRUE(world_.connection(0, 1).is_over()) << "busy: when it comes back";
  EXPECT_EQ(before->connections.load(), 0U);
  EXPECT_EQ(before->in_flight.load(), 0U);
  Lease lease = fresh();
  EXPECT_EQ(&lease.slot->member(), after.get());
  serve(lease, world_.connection(1, 0));
}

// Nobody of this thread waits for it any more: other threads would give it turns for nothing.
TEST_F(PoolTest, AMemberThatLeavesIsNotWaitedFor) {
  start();
  const SharedMember before = shared_member(0);
  const SharedMember after = new_member(1);
  Waiter waiters[2];
  for (Waiter& waiter : waiters) {
    waiter.again = pool_;
    EXPECT_TRUE(wait(waiter));
  }
  EXPECT_EQ(before->waiting_threads.load(), 1U);
  configure({after});
  EXPECT_EQ(waiters[0].woken + waiters[1].woken, 2);
  EXPECT_EQ(before->waiting_threads.load(), 0U);
  EXPECT_EQ(after->waiting_threads.load(), 1U);
  world_.driver.turn([&] {
    for (Waiter& waiter : waiters)
      pool_->leave_queue(waiter);
  });
  EXPECT_EQ(after->waiting_threads.load(), 0U);
}

TEST_F(PoolTest, AnotherShareTakesOverWhoWaits) {
  start();
  Waiter waiter;
  waiter.again = pool_;
  EXPECT_TRUE(wait(waiter));
  const SharedPoolShare old_share = world_.generation->pool_shares[0];
  const auto new_share = std::make_shared<PoolShare>();
  const auto configure_with = [&](const SharedPoolShare& share) {
    world_.driver.turn([&] {
      pool_->configure(world_.generation->model->pools[0], world_.generation->members[0], share);
    });
  };
  configure_with(new_share);
  EXPECT_EQ(old_share->pending.load(), 0U);
  EXPECT_EQ(new_share->pending.load(), 1U);
  EXPECT_EQ(new_share->queued.load(), 1U);
  configure_with(old_share);
  EXPECT_EQ(old_share->pending.load(), 1U);
  world_.driver.turn([&] { pool_->leave_queue(waiter); });
  EXPECT_EQ(old_share->pending.load(), 0U);
  EXPECT_EQ(new_share->pending.load(), 0U);
  EXPECT_EQ(old_share->queued.load() + new_share->queued.load(), 0U);
}

TEST_F(PoolTest, ALeavingPoolKeepsNothingAndMayComeBack) {
  start();
  Lease idle = fresh();
  Lease busy = fresh();
  serve(idle, world_.connection(0, 0));
  world_.driver.turn([&] { pool_->close_idle(); });
  world_.driver.settle();
  EXPECT_TRUE(world_.connection(0, 0).is_over());
  serve(busy, world_.connection(0, 1));
  EXPECT_FALSE(pool_->has_open_connections());
  configure({shared_member(0)});
  Lease lease = fresh();
  serve(lease, world_.connection(0, 2));
  EXPECT_TRUE(pool_->has_open_connections()) << "kept again";
}

}  // namespace
}  // namespace portunus::proxy
