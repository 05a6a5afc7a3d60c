// A pool whose members come and go, between clients and members that the test plays: no member at all,
// one that drains under requests and a tunnel, and who is told of the last one's end.
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

using health::MemberState;

class PoolMembersTest : public testing::Test {
 protected:
  void start() {
    world_.model->pools[0].retry.window = base::Milliseconds(0);  // nobody waits for a member
    for (auto& member : world_.members)
      member->listen();
    world_.context.owner = this;
    world_.context.report_idle = [](void* self) {
      ++static_cast<PoolMembersTest*>(self)->idle_reports_;
    };
    world_.start();
    all_ = world_.generation->members[0];
  }
  void swap(const SharedMemberList& list) {
    world_.driver.turn([&] { world_.pool().set_members(list); });
    world_.driver.settle();
  }
  // As Control does: the state first, then the list.
  void drain(std::size_t which) {
    auto list = std::make_shared<MemberList>(*all_);
    health::Member& member = *list->entries[which].member;
    member.verdict = MemberState::up;
    member.duty = health::MemberDuty::drain;
    member.publish();
    list->entries[which].is_draining = true;
    swap(list);
  }

  ProxyWorld world_{1};
  SharedMemberList all_;
  int idle_reports_ = 0;
};

TEST_F(PoolMembersTest, NoMemberIsAnAnswerAndNoHang) {
  start();
  swap(std::make_shared<MemberList>());
  auto refused = world_.request(Method::get);
  EXPECT_EQ(refused->stream.status, 503);
  expect_record(world_, "no_healthy_upstream", 0);
  swap(all_);
  auto served = world_.request(Method::get);
  says(world_, asked(world_), kOk);
  EXPECT_EQ(served->stream.status, 200);
  expect_record(world_, "ok", 1);
}

TEST_F(PoolMembersTest, WhoWaitsIsAnsweredWhenTheLastMemberLeaves) {
  world_.model->pools[0].max_connections_per_upstream = 1;
  start();
  auto running = world_.request(Method::get);
  Peer& peer = asked(world_);
  auto waiting = world_.request(Method::get);
  EXPECT_EQ(world_.pool().queue_length(), 1U);
  swap(std::make_shared<MemberList>());
  EXPECT_EQ(waiting->stream.status, 503);
  EXPECT_EQ(world_.pool().queue_length(), 0U);
  expect_record(world_, "no_healthy_upstream", 0);
  says(world_, peer, kOk);
  EXPECT_EQ(running->stream.status, 200) << "on a member that has left";
  expect_record(world_, "ok", 1);
  EXPECT_TRUE(peer.is_over());
}

TEST_F(PoolMembersTest, WhoWaitsGoesToAMemberThatAppears) {
  world_.members.push_back(std::make_unique<test::PeerListener>(world_.driver));
  world_.model->pools[0].max_connections_per_upstream = 1;
  start();
  auto running = world_.request(Method::get);
  Peer& peer = asked(world_);
  auto waiting = world_.request(Method::get);
  auto more = std::make_shared<MemberList>(*all_);
  const std::uint16_t port = world_.members[1]->port();
  more->entries.push_back({std::make_shared<health::Member>(
                               "app", "m1", net::Address::parse_ip("127.0.0.1", port).value()),
                           1, false});
  swap(more);
  EXPECT_EQ(world_.pool().queue_length(), 1U) << "it is not up yet";
  more->entries[1].member->state = MemberState::up;
  world_.driver.turn([&] { world_.pool().wake_waiters(); });
  says(world_, asked(world_, 1), kOk);
  EXPECT_EQ(waiting->stream.status, 200);
  says(world_, peer, kOk);
  EXPECT_EQ(running->stream.status, 200);
  EXPECT_EQ(world_.records().size(), 2U);
  swap(all_);
}

TEST_F(PoolMembersTest, DrainingKeepsNothingIdleAndEndsWithTheLastRequest) {
  start();
  auto first = world_.request(Method::get);
  auto second = world_.request(Method::get);
  Peer& one = asked(world_, 0, 0);
  Peer& two = asked(world_, 0, 1);
  auto third = world_.request(Method::get);
  says(world_, asked(world_, 0, 2), kOk);
  EXPECT_EQ(world_.member(0).connections.load(), 3U);
  drain(0);
  EXPECT_TRUE(world_.connection(0, 2).is_over()) << "idle: at once";
  EXPECT_FALSE(one.is_over());
  auto refused = world_.request(Method::get);
  EXPECT_EQ(refused->stream.status, 503);
  says(world_, two, kOk);
  EXPECT_EQ(second->stream.status, 200);
  EXPECT_TRUE(two.is_over()) << "not kept";
  EXPECT_EQ(idle_reports_, 0);
  says(world_, one, kOk);
  EXPECT_EQ(first->stream.status, 200);
  EXPECT_EQ(idle_reports_, 1);
  EXPECT_EQ(world_.member(0).in_flight.load(), 0U);
  EXPECT_TRUE(world_.driver.run_until([&] { return world_.member(0).connections.load() == 0; }));
  // It stays: connections are kept again.
  world_.member(0).duty = health::MemberDuty::serve;
  world_.member(0).publish();
  swap(all_);
  auto again = world_.request(Method::get);
  says(world_, asked(world_, 0, 3), kOk);
  EXPECT_EQ(again->stream.status, 200);
  EXPECT_EQ(world_.member(0).connections.load(), 1U);
  EXPECT_EQ(idle_reports_, 1) << "nobody asks when it does not drain";
}

TEST_F(PoolMembersTest, ATunnelIsInFlight) {
  start();
  auto client = world_.request(Method::get, "/", BodyKind::none, 0, true);
  Peer& peer = asked(world_);
  says(world_, peer, "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  drain(0);
  says(world_, peer, "abc");
  EXPECT_EQ(client->stream.commands, "head 101; body abc; ");
  EXPECT_EQ(idle_reports_, 0);
  EXPECT_EQ(world_.member(0).in_flight.load(), 1U);
  world_.reset(*client);
  EXPECT_EQ(idle_reports_, 1);
}

// A retry does not go back to a member that drains, kept connection or not.
TEST_F(PoolMembersTest, AnotherTryAvoidsWhatDrains) {
  start();
  auto warm = world_.request(Method::get);
  says(world_, asked(world_), kOk);
  auto client = world_.request(Method::get);
  EXPECT_TRUE(world_.driver.run_until([&] { return world_.connection().in.size() > 4; }));
  drain(0);
  world_.connection().reset();
  EXPECT_TRUE(world_.driver.run_until([&] { return client->stream.status != 0; }));
  EXPECT_GE(client->stream.status, 502);
  EXPECT_EQ(world_.members[0]->peers.size(), 1U);
  EXPECT_EQ(idle_reports_, 1);
}

}  // namespace
}  // namespace portunus::proxy
