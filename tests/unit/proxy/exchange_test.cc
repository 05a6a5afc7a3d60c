// Exchange and Attempt: one try, several tries, and answers that break off.
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

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
  EXPECT_EQ(client->stream.status, 0) << "it waits";
  EXPECT_TRUE(world.driver.run_until([&] { return client->stream.has_end; }));
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

}  // namespace
}  // namespace portunus::proxy
