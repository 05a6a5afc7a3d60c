// Exchange and Attempt between a recorded client and members that the test plays over loopback: what
// reaches the client, how often members are tried, and what is in the one record at the end. ProxyWorld
// checks that every lease, message and chunk comes back.
#include "proxy/exchange.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/proxy_world.h"

namespace portunus::proxy {
namespace {

using http::BodyKind;
using http::Method;
using test::Peer;
using test::ProxyWorld;
using test::RecordedClient;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
// The one record since the last call, or a text that no test expects.
std::string record_of(ProxyWorld& world) {
  const std::vector<std::string> lines = world.records();
  EXPECT_EQ(lines.size(), 1U);
  return lines.size() == 1 ? lines[0] : "";
}
// Its end: attempts, retry_reason, end_reason.
void expect_record(ProxyWorld& world,
                   const std::string& end_reason,
                   int attempts,
                   const std::string& retry_reason = {}) {
  const std::string line = record_of(world);
  EXPECT_TRUE(has(line, "\"end_reason\":\"" + end_reason + "\"")) << line;
  if (attempts == 0) {
    EXPECT_FALSE(has(line, "\"attempts\"")) << line;
  } else {
    EXPECT_TRUE(has(line, "\"attempts\":" + std::to_string(attempts) + ",")) << line;
  }
  if (retry_reason.empty()) {
    EXPECT_FALSE(has(line, "retry_reason")) << line;
  } else {
    EXPECT_TRUE(has(line, "\"retry_reason\":\"" + retry_reason + "\"")) << line;
  }
}
// Waits for the connection of a member and what it was asked.
Peer& asked(ProxyWorld& world, std::size_t member = 0, std::size_t i = 0) {
  EXPECT_TRUE(world.driver.run_until([&] {
    const auto& peers = world.members[member]->peers;
    return peers.size() > i && has(peers[i]->in, "\r\n\r\n");
  }));
  world.driver.settle();
  return world.connection(member, i);
}
void says(ProxyWorld& world, Peer& peer, std::string_view bytes) {
  peer.send(bytes);
  world.driver.settle();
}

// ---- one try ----

TEST(Exchange, CarriesARequestAndItsAnswer) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  for (int i = 0; i < 2; ++i) {
    auto client = world.request(Method::get, "/a");
    Peer& member = asked(world);
    EXPECT_EQ(world.member(0).in_flight.load(), 1U);
    const std::string request = member.take();
    EXPECT_TRUE(has(request, "GET /a HTTP/1.1\r\nhost: example.org\r\n")) << request;
    EXPECT_TRUE(has(request, "x-forwarded-for: 192.0.2.1\r\n")) << request;
    says(world, member, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello");
    EXPECT_EQ(client->stream.commands, "head 200; body hello; end; ");
    EXPECT_TRUE(has(client->stream.fields, "x-a=b;")) << client->stream.fields;
    expect_record(world, "ok", 1);
    EXPECT_EQ(world.exchanges.live(), 0U);
    EXPECT_EQ(world.member(0).in_flight.load(), 0U);
  }
  EXPECT_EQ(world.members[0]->peers.size(), 1U);
}

TEST(Exchange, CarriesBodiesTrailersAndInterimHeads) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = world.request(Method::put, "/", BodyKind::unknown);
  Peer& member = asked(world);
  world.body(*client, "abc", false);
  world.body(*client, "", true);
  EXPECT_TRUE(has(member.take(), "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
  says(world, member, "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
  EXPECT_EQ(client->stream.commands, "head 103; ");
  says(world, member, "HTTP/1.1 100 Continue\r\n\r\n");  // nobody asked for it
  EXPECT_EQ(client->stream.commands, "head 103; ");
  says(world, member,
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n");
  EXPECT_EQ(client->stream.commands, "head 103; head 200; body de; trailers; end; ");
  expect_record(world, "ok", 1);
}

// What came while the connection was being made is sent behind the head: whole bodies, parts, none.
TEST(Exchange, SendsWhatCameBeforeTheConnectionStood) {
  struct Row {
    BodyKind kind;
    const char* body;
    const char* wire;
  };
  const Row rows[] = {{BodyKind::length, "abc", "content-length: 3\r\n"},
                      {BodyKind::unknown, "abc", "transfer-encoding: chunked\r\n"},
                      {BodyKind::unknown, "", "transfer-encoding: chunked\r\n"}};
  for (const Row& row : rows) {
    ProxyWorld world;
    world.members[0]->listen();
    world.start();
    auto client = std::make_unique<RecordedClient>(world.driver.loop.chunks());
    world.driver.turn([&] {
      client->head.method = Method::put;
      client->head.method_text = "PUT";
      client->head.path = "/";
      client->head.fields.add(http::HeaderId::host, "x");
      client->head.body = row.kind;
      client->head.content_length = row.kind == BodyKind::length ? 3 : 0;
      client->exchange = world.make_exchange(client->stream, net::Address{});
      client->exchange->on_head(client->head, false);
      const std::string_view body = row.body;
      if (!body.empty()) client->exchange->on_body({body.data(), body.size()}, false);
      client->exchange->on_body({}, true);
    });
    Peer& member = asked(world);
    const std::string request = member.take();
    EXPECT_TRUE(has(request, row.wire)) << request;
    const std::string body = request.substr(request.find("\r\n\r\n") + 4);
    if (row.kind == BodyKind::length) {
      EXPECT_EQ(body, "abc");
    } else {
      EXPECT_EQ(body, *row.body == 0 ? "0\r\n\r\n" : "3\r\nabc\r\n0\r\n\r\n");
    }
    says(world, member, kOk);
    EXPECT_EQ(client->stream.commands, "head 200; body ok; end; ");
    expect_record(world, "ok", 1);
  }
}

TEST(Exchange, RefusesBodiesAboveTheLimit) {
  for (const bool is_announced : {true, false}) {
    ProxyWorld world;
    world.members[0]->listen();
    world.model->limits.body_bytes = 10;
    world.start();
    auto client =
        world.request(Method::post, "/", is_announced ? BodyKind::length : BodyKind::unknown,
                      is_announced ? 11 : 0);
    if (!is_announced) {
      asked(world);
      world.body(*client, "12345678901", false);
    }
    EXPECT_EQ(client->stream.status, 413);
    EXPECT_TRUE(client->stream.has_end);
    expect_record(world, "rejected_body_size", is_announced ? 0 : 1);
  }
}

TEST(Exchange, AnAnswerBeforeTheEndOfTheRequest) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = world.request(Method::post, "/", BodyKind::length, 100);
  Peer& member = asked(world);
  world.body(*client, "abc", false);
  says(world, member, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  EXPECT_EQ(client->stream.commands, "head 403; body no; end; ");
  expect_record(world, "ok", 1);
  // A request that was cut short: nobody else's may follow on that connection.
  auto next = world.request(Method::get);
  Peer& fresh = asked(world, 0, 1);
  says(world, fresh, kOk);
  EXPECT_EQ(next->stream.status, 200);
}

// ---- several tries ----

TEST(Exchange, AMemberThatRefusesIsFollowedByAnother) {
  for (const Method method : {Method::get, Method::post}) {
    ProxyWorld world(2);
    world.members[1]->listen();
    world.start();
    for (int i = 0; i < 2; ++i) {  // round robin: one of them begins with the first
      auto client = world.request(method);
      Peer& member = asked(world, 1);
      member.take();
      says(world, member, kOk);
      EXPECT_EQ(client->stream.commands, "head 200; body ok; end; ");
      EXPECT_TRUE(has(record_of(world), "\"end_reason\":\"ok\""));
    }
  }
}

TEST(Exchange, ABodyIsReplayedAfterAFailedConnect) {
  ProxyWorld world(2);
  world.members[1]->listen();
  world.start();
  for (int i = 0; i < 2; ++i) {
    auto client = world.request(Method::post, "/", BodyKind::length, 6);
    world.body(*client, "abc", false);
    world.body(*client, "def", true);
    Peer& member = asked(world, 1);
    const std::string request = member.take();
    EXPECT_TRUE(has(request, "\r\n\r\nabcdef")) << request;
    says(world, member, kOk);
    EXPECT_EQ(client->stream.status, 200);
  }
  const std::vector<std::string> lines = world.records();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(has(lines[0] + lines[1], "\"retry_reason\":\"upstream_connect\""));
}

TEST(Exchange, EveryMemberRefuses) {
  ProxyWorld world(3);
  world.start();
  auto client = world.request(Method::get);
  EXPECT_TRUE(world.driver.run_until([&] { return client->stream.has_end; }));
  EXPECT_EQ(client->stream.status, 502);
  expect_record(world, "upstream_connect", 3, "upstream_connect");
}

TEST(Exchange, NoMemberIsUp) {
  ProxyWorld world;
  world.start();
  world.member(0).state = health::MemberState::down;
  auto client = world.request(Method::get);
  EXPECT_EQ(client->stream.status, 503);
  expect_record(world, "no_healthy_upstream", 0);
}

// A member that dies without a word about a request: only what may be repeated is.
TEST(Exchange, AResetWithoutAnAnswer) {
  struct Row {
    Method method;
    bool is_repeated;
  };
  const Row rows[] = {{Method::get, true},     {Method::head, true},  {Method::put, true},
                      {Method::delete_, true}, {Method::post, false}, {Method::patch, false}};
  for (const Row& row : rows) {
    ProxyWorld world(2);
    world.members[0]->listen();
    world.members[1]->listen();
    world.start();
    auto client = world.request(row.method);
    ASSERT_TRUE(world.driver.run_until(
        [&] { return world.members[0]->peers.size() + world.members[1]->peers.size() == 1; }));
    const std::size_t first = world.members[0]->peers.empty() ? 1 : 0;
    asked(world, first).reset();
    world.driver.settle();
    if (row.is_repeated) {
      says(world, asked(world, 1 - first), "HTTP/1.1 204 No Content\r\n\r\n");
      EXPECT_EQ(client->stream.commands, "head 204; end; ");
      expect_record(world, "ok", 2, "upstream_reset");
    } else {
      EXPECT_EQ(client->stream.status, 502);
      EXPECT_TRUE(world.members[1 - first]->peers.empty());
      expect_record(world, "upstream_reset", 1);
    }
  }
}

// Once a byte of the body is gone to a member, it is gone.
TEST(Exchange, ABodyThatWasSentIsNotSentAgain) {
  ProxyWorld world(2);
  world.members[0]->listen();
  world.members[1]->listen();
  world.start();
  auto client = world.request(Method::put, "/", BodyKind::length, 6);
  ASSERT_TRUE(world.driver.run_until(
      [&] { return world.members[0]->peers.size() + world.members[1]->peers.size() == 1; }));
  world.body(*client, "abc", false);
  const std::size_t first = world.members[0]->peers.empty() ? 1 : 0;
  asked(world, first).reset();
  world.driver.settle();
  EXPECT_EQ(client->stream.status, 502);
  expect_record(world, "upstream_reset", 1);
}

// Nor are trailers: a second try without them would be another request.
TEST(Exchange, TrailersThatWereSentAreNotSentAgain) {
  ProxyWorld world(2);
  world.members[0]->listen();
  world.members[1]->listen();
  world.start();
  auto client = world.request(Method::put, "/", BodyKind::unknown);
  ASSERT_TRUE(world.driver.run_until(
      [&] { return world.members[0]->peers.size() + world.members[1]->peers.size() == 1; }));
  http::HeaderBlock trailers;
  trailers.add("x-t", "1");
  world.driver.turn([&] { client->exchange->on_trailers(trailers); });
  const std::size_t first = world.members[0]->peers.empty() ? 1 : 0;
  asked(world, first).reset();
  world.driver.settle();
  EXPECT_EQ(client->stream.status, 502);
  expect_record(world, "upstream_reset", 1);
}

// A kept connection that was closed in the meantime says nothing about the member: it is asked again.
TEST(Exchange, AStaleConnectionIsFollowedByAFreshOne) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto first = world.request(Method::get);
  says(world, asked(world), kOk);
  world.records();
  world.connection().take();
  // It reads the next request and hangs up: the race that keep-alive has.
  auto client = world.request(Method::get);
  asked(world).reset();
  world.driver.settle();
  says(world, asked(world, 0, 1), kOk);
  EXPECT_EQ(client->stream.commands, "head 200; body ok; end; ");
  expect_record(world, "ok", 2, "upstream_reset");
}

TEST(Exchange, AStaleConnectionAndAPost) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto first = world.request(Method::get);
  says(world, asked(world), kOk);
  world.records();
  world.connection().take();
  auto client = world.request(Method::post);
  asked(world).reset();
  world.driver.settle();
  EXPECT_EQ(client->stream.status, 502);
  expect_record(world, "upstream_reset", 1);
}

// Its close has come, and the loop has not seen it yet: what cannot be repeated does not go there, however
// short ago the last answer was.
TEST(Exchange, AClosedConnectionGetsNoPost) {
  for (const bool is_reset : {false, true}) {
    ProxyWorld world;
    world.members[0]->listen();
    world.start();
    auto first = world.request(Method::get);
    says(world, asked(world), kOk);
    world.records();
    if (is_reset) {
      world.connection().reset();
    } else {
      world.connection().end_writing();
    }
    world.driver.deliver();
    auto client = world.request(Method::post);
    says(world, asked(world, 0, 1), kOk);
    EXPECT_EQ(client->stream.commands, "head 200; body ok; end; ");
    expect_record(world, "ok", 1);
  }
}

// ---- broken answers ----

TEST(Exchange, AnAnswerThatBreaksOffIsAReset) {
  struct Row {
    const char* said;
    const char* commands;
    const char* end_reason;
  };
  const Row rows[] = {
      {"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
       "head 200; body abc; reset upstream_reset; ", "upstream_reset"},
      {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcXX",
       "head 200; body abc; reset upstream_protocol; ", "upstream_protocol"},
  };
  for (const Row& row : rows) {
    ProxyWorld world;
    world.members[0]->listen();
    world.start();
    auto client = world.request(Method::get);
    Peer& member = asked(world);
    says(world, member, row.said);
    member.close();
    world.driver.settle();
    EXPECT_EQ(client->stream.commands, row.commands);
    expect_record(world, row.end_reason, 1);
  }
}

TEST(Exchange, AnAnswerThatIsNoneIsNotRepeated) {
  ProxyWorld world(2);
  world.members[0]->listen();
  world.members[1]->listen();
  world.start();
  auto client = world.request(Method::get);
  ASSERT_TRUE(world.driver.run_until(
      [&] { return world.members[0]->peers.size() + world.members[1]->peers.size() == 1; }));
  says(world, asked(world, world.members[0]->peers.empty() ? 1 : 0), "SSH-2.0-x\r\n");
  EXPECT_EQ(client->stream.status, 502);
  expect_record(world, "upstream_protocol", 1);
}

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
