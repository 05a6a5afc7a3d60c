// Exchange and Attempt: clients that go away, times, the queue, back-pressure, tunnels.
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

// ---- the client goes away ----

TEST(Exchange, TheClientResetsInEachPhase) {
  enum class When { connecting, waiting, body, answer, tunnel };
  for (const When when :
       {When::connecting, When::waiting, When::body, When::answer, When::tunnel}) {
    ProxyWorld world;
    world.members[0]->listen();
    world.start();
    auto client = when == When::body
                      ? world.request(Method::post, "/", BodyKind::length, 100)
                      : world.request(Method::get, "/", BodyKind::none, 0, when == When::tunnel);
    if (when != When::connecting) {
      Peer& member = asked(world);
      if (when == When::body) world.body(*client, "abc", false);
      if (when == When::answer)
        says(world, member, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na");
      if (when == When::tunnel) {
        says(world, member,
             "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc");
        EXPECT_EQ(client->stream.commands, "head 101; body abc; ");
      }
    }
    const std::string before = client->stream.commands;
    world.reset(*client);
    EXPECT_EQ(client->stream.commands, before);  // nothing more is said
    EXPECT_EQ(world.exchanges.live(), 0U);
    EXPECT_EQ(world.member(0).in_flight.load(), 0U);
    EXPECT_TRUE(has(record_of(world), "\"end_reason\":\"client_closed\""));
    EXPECT_TRUE(world.driver.run_until([&] { return world.member(0).connections.load() == 0; }));
  }
}

// ---- time ----

TEST(Exchange, TimeOutsOfEachPhase) {
  struct Row {
    const char* what;
    const char* said;
    std::uint16_t status;  // 0: reset
  };
  for (const bool is_total : {false, true}) {
    const Row rows[] = {{"no answer", "", 504},
                        {"stops half-way", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na", 0}};
    for (const Row& row : rows) {
      ProxyWorld world;
      world.members[0]->listen();
      conf::PoolTimeouts& timeouts = world.model->pools[0].timeouts;
      if (is_total) {
        timeouts.total = base::Milliseconds(100);
      } else {
        timeouts.first_byte = timeouts.between_bytes = base::Milliseconds(100);
      }
      world.start();
      auto client = world.request(Method::get);
      says(world, asked(world), row.said);
      EXPECT_TRUE(world.driver.run_until([&] { return world.exchanges.live() == 0; }, 2'000));
      if (row.status != 0) {
        EXPECT_EQ(client->stream.status, row.status) << row.what;
      } else {
        EXPECT_TRUE(client->stream.is_reset) << row.what;
      }
      expect_record(world, "upstream_timeout", 1);
    }
  }
}

// ---- the queue ----

TEST(Exchange, WaitsForRoomAndIsServedInTurn) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->pools[0].max_connections_per_upstream = 1;
  world.start();
  auto first = world.request(Method::get, "/1");
  auto second = world.request(Method::get, "/2");
  auto third = world.request(Method::get, "/3");
  EXPECT_EQ(world.pool().queue_length(), 2U);
  for (auto* client : {&first, &second, &third}) {
    Peer& member = asked(world);
    EXPECT_EQ(member.take().substr(0, 6), "GET /" + std::string(client == &first    ? "1"
                                                                : client == &second ? "2"
                                                                                    : "3"));
    says(world, member, kOk);
    EXPECT_EQ((*client)->stream.commands, "head 200; body ok; end; ");
  }
  EXPECT_EQ(world.members[0]->peers.size(), 1U);
  EXPECT_EQ(world.records().size(), 3U);
}

TEST(Exchange, AFullQueueRefuses) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->pools[0].max_connections_per_upstream = 1;
  world.model->pools[0].overload.max_pending = 1;
  world.start();
  auto first = world.request(Method::get);
  auto second = world.request(Method::get);
  auto third = world.request(Method::get);
  EXPECT_EQ(third->stream.status, 503);
  expect_record(world, "queue_full", 0);
  says(world, asked(world), kOk);
  world.connection().take();
  EXPECT_EQ(first->stream.status, 200);
  world.reset(*second);  // now connected or waiting
}

TEST(Exchange, APoolTakesNoMoreThanItsRequests) {
  ProxyWorld world(2);
  for (auto& member : world.members)
    member->listen();
  world.model->pools[0].overload.max_requests = 2;
  world.model->pools[0].overload.max_pending = 1;
  world.start();
  auto first = world.request(Method::get);
  auto second = world.request(Method::get);
  auto third = world.request(Method::get);
  auto fourth = world.request(Method::get);
  EXPECT_EQ(world.generation->pool_shares[0]->requests.load(), 2U);
  EXPECT_EQ(world.pool().queue_length(), 1U) << "though each member has room";
  EXPECT_EQ(fourth->stream.status, 503);
  expect_record(world, "pool_full", 0);
  const auto answered = [&] {
    return int{first->stream.status == 200} + int{second->stream.status == 200};
  };
  says(world, asked(world, 0), kOk);  // either of them
  EXPECT_EQ(answered(), 1);
  EXPECT_EQ(world.pool().queue_length(), 0U) << "in its place";
  says(world, asked(world, 1), kOk);
  EXPECT_EQ(answered(), 2);
  world.reset(*third);
  EXPECT_EQ(world.generation->pool_shares[0]->requests.load(), 0U);
}

// Whoever is sent elsewhere does not take two places, and stands in line with the others.
TEST(Exchange, ARetryHasOnePlaceOnly) {
  ProxyWorld world(2);
  for (auto& member : world.members)
    member->listen();
  world.model->pools[0].overload.max_requests = 1;
  world.start();
  auto client = world.request(Method::get);
  ASSERT_TRUE(world.driver.run_until(
      [&] { return !world.members[0]->peers.empty() || !world.members[1]->peers.empty(); }));
  const std::size_t first = world.members[0]->peers.empty() ? 1 : 0;
  says(world, asked(world, first), "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
  says(world, asked(world, 1 - first), kOk);
  EXPECT_EQ(client->stream.status, 200);
  EXPECT_EQ(world.generation->pool_shares[0]->requests.load(), 0U);
}

TEST(Exchange, WaitingHasItsTime) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->pools[0].max_connections_per_upstream = 1;
  world.model->pools[0].overload.pending_timeout = base::Milliseconds(100);
  world.start();
  auto first = world.request(Method::get);
  auto second = world.request(Method::get);
  EXPECT_TRUE(world.driver.run_until([&] { return second->stream.has_end; }, 2'000));
  EXPECT_EQ(second->stream.status, 503);
  expect_record(world, "queue_timeout", 0);
  EXPECT_EQ(world.pool().queue_length(), 0U);
  says(world, asked(world), kOk);
  EXPECT_EQ(first->stream.status, 200);
}

TEST(Exchange, AClientThatGoesAwayLeavesTheQueue) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->pools[0].max_connections_per_upstream = 1;
  world.start();
  auto first = world.request(Method::get);
  auto second = world.request(Method::get);
  world.reset(*second);
  EXPECT_EQ(world.pool().queue_length(), 0U);
  expect_record(world, "client_closed", 0);
  says(world, asked(world), kOk);
  EXPECT_EQ(first->stream.status, 200);
}

// The one who is woken may have no use for the room (it has tried that member): others may.
TEST(Exchange, RoomThatTheFirstInTheQueueCannotUseGoesToTheNext) {
  ProxyWorld world(2);
  world.members[0]->listen();
  world.members[1]->listen();
  world.model->pools[0].max_connections_per_upstream = 1;
  world.start();
  auto a = world.request(Method::get, "/a");
  auto b = world.request(Method::get, "/b");
  // Both members are busy. The one with /b dies; its place goes to /b's second try or to the queue.
  asked(world, 0);
  asked(world, 1);
  auto c = world.request(Method::get, "/c");
  auto d = world.request(Method::get, "/d");
  EXPECT_EQ(world.pool().queue_length(), 2U);
  const std::size_t of_a = has(world.connection(0).in, "GET /a") ? 0 : 1;
  world.connection(1 - of_a).reset();
  world.driver.settle();
  // /c took the place, /b waits for the other member behind or before /d.
  Peer& fresh = asked(world, 1 - of_a, 1);
  EXPECT_TRUE(has(fresh.take(), "GET /c"));
  says(world, world.connection(of_a), kOk);
  world.connection(of_a).take();
  for (int i = 0; i < 4 && world.exchanges.live() > 0; ++i) {
    for (std::size_t m = 0; m < 2; ++m) {
      for (auto& peer : world.members[m]->peers) {
        if (peer->descriptor() < 0) continue;
        peer->take();
        peer->send(kOk);
        world.driver.settle();
      }
    }
  }
  for (auto* client : {&a, &b, &c, &d}) {
    EXPECT_TRUE((*client)->stream.has_end);
    EXPECT_EQ((*client)->stream.status, 200);
    if (!(*client)->stream.has_end) world.reset(**client);
  }
}

// ---- back-pressure ----

TEST(Exchange, ASlowClientStopsTheMember) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = world.request(Method::get);
  client->stream.is_blocked = true;
  Peer& member = asked(world);
  says(world, member, "HTTP/1.1 200 OK\r\ncontent-length: 8000000\r\n\r\n");
  member.send(std::string(8'000'000, 'a'));
  world.driver.settle();
  EXPECT_GT(client->stream.unsent(), http::kUnsentHigh);
  EXPECT_LE(client->stream.unsent_most, http::kUnsentHigh + net::Loop::kReadBuffer);
  while (!client->stream.has_end) {
    client->stream.drain();
    world.driver.turn([&] { client->exchange->on_drained(); });
    world.driver.settle();
  }
  EXPECT_LE(client->stream.unsent_most, http::kUnsentHigh + net::Loop::kReadBuffer);
  EXPECT_EQ(client->stream.body.size(), 8'000'000U);
  expect_record(world, "ok", 1);
}

TEST(Exchange, ASlowMemberStopsTheClient) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = world.request(Method::post, "/", BodyKind::unknown);
  Peer& member = asked(world);
  member.reads = false;
  const std::string slice(65'536, 'b');
  std::size_t sent = 0;
  while (client->stream.is_reading && sent < 64'000'000) {
    world.body(*client, slice, false);
    sent += slice.size();
  }
  EXPECT_FALSE(client->stream.is_reading);
  member.reads = true;
  EXPECT_TRUE(world.driver.run_until([&] { return client->stream.is_reading; }));
  world.body(*client, "", true);
  EXPECT_TRUE(world.driver.run_until([&] { return member.in.ends_with("0\r\n\r\n"); }));
  says(world, member, kOk);
  EXPECT_EQ(client->stream.status, 200);
  expect_record(world, "ok", 1);
}

// Before a connection stands, only so much of a body is taken.
TEST(Exchange, ABodyThatWaitsInTheQueueHasABound) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->pools[0].max_connections_per_upstream = 1;
  world.start();
  auto first = world.request(Method::get);
  auto client = world.request(Method::post, "/", BodyKind::unknown);
  const std::string slice(16'384, 'b');
  std::size_t sent = 0;
  while (client->stream.is_reading && sent < 1'000'000) {
    world.body(*client, slice, false);
    sent += slice.size();
  }
  EXPECT_LE(sent, http::kUnsentHigh + slice.size());
  Peer& member = asked(world);
  member.take();
  says(world, member, kOk);
  EXPECT_TRUE(world.driver.run_until([&] { return client->stream.is_reading; }));
  world.body(*client, "", true);
  EXPECT_TRUE(world.driver.run_until([&] { return member.in.ends_with("0\r\n\r\n"); }));
  EXPECT_GT(member.in.size(), sent);
  says(world, member, kOk);
  EXPECT_EQ(client->stream.status, 200);
}

// ---- tunnels ----

// Its exchange has ended; what the client said last is still the member's.
TEST(Exchange, TheEndOfATunnelCutsNothing) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = world.request(Method::get, "/", BodyKind::none, 0, true);
  Peer& member = asked(world);
  says(world, member, "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  member.take();
  member.end_writing();
  member.reads = false;
  world.driver.settle();
  member.received = 0;
  world.body(*client, std::string(7'000'000, 'b'), true);
  EXPECT_EQ(world.exchanges.live(), 0U);
  expect_record(world, "ok", 1);
  member.reads = true;
  EXPECT_TRUE(world.driver.run_until([&] { return member.is_over(); }));
  EXPECT_EQ(member.received, 7'000'000U);
}

TEST(Exchange, ATunnelEndsWhenBothSidesHave) {
  for (const bool client_first : {true, false}) {
    ProxyWorld world;
    world.members[0]->listen();
    world.start();
    auto client = world.request(Method::get, "/", BodyKind::none, 0, true);
    Peer& member = asked(world);
    member.take();
    says(world, member, "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi");
    EXPECT_EQ(client->stream.commands, "head 101; body hi; ");
    world.body(*client, "ping", false);
    EXPECT_EQ(member.take(), "ping");
    if (client_first) {
      world.body(*client, "", true);
      EXPECT_TRUE(member.has_end);
      says(world, member, "late");
      EXPECT_EQ(world.exchanges.live(), 1U);
      member.close();
    } else {
      member.end_writing();
      world.driver.settle();
      EXPECT_TRUE(client->stream.has_end);
      EXPECT_EQ(world.exchanges.live(), 1U);
      world.body(*client, "late", true);
      EXPECT_EQ(member.take(), "late");
    }
    world.driver.settle();
    EXPECT_EQ(world.exchanges.live(), 0U);
    expect_record(world, "ok", 1);
  }
}

}  // namespace
}  // namespace portunus::proxy
