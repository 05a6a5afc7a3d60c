// Exchange: calls of gRPC that fail end with a status of gRPC, and by their client's own deadline.
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

constexpr const char* kAnswer =
    "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n";

std::unique_ptr<RecordedClient> call(ProxyWorld& world,
                                     std::string_view timeout = {},
                                     http::Protocol protocol = http::Protocol::http2) {
  auto client = std::make_unique<RecordedClient>(world.driver.loop.chunks());
  world.driver.turn([&] {
    http::Head& head = client->head;
    head.protocol = protocol;
    head.method = Method::post;
    head.method_text = "POST";
    head.path = "/pkg.Service/Method";
    head.authority = head.host = "example.org";
    head.fields.add(http::HeaderId::host, "example.org");
    head.fields.add(http::HeaderId::content_type, "application/grpc");
    if (!timeout.empty()) head.fields.add("grpc-timeout", timeout);
    head.body = BodyKind::unknown;
    client->exchange = world.make_exchange(client->stream, net::Address{});
    client->exchange->on_head(head, false);
    if (client->stream.has_end) return;
    const std::string_view message("\0\0\0\0\1x", 6);
    client->exchange->on_body({message.data(), message.size()}, true);
  });
  world.driver.settle();
  return client;
}

bool ends(ProxyWorld& world) {
  return world.driver.run_until([&] { return world.exchanges.live() == 0; }, 3'000);
}

TEST(ExchangeGrpc, AnErrorIsAStatusInTheHead) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->pools[0].retry.window = base::Milliseconds(0);
  world.start();
  world.member(0).state = health::MemberState::down;
  auto client = call(world);
  ASSERT_TRUE(ends(world));
  EXPECT_EQ(client->stream.commands, "head 200; end; ");
  const std::string& fields = client->stream.fields;
  EXPECT_TRUE(has(fields, "content-type=application/grpc;")) << fields;
  EXPECT_TRUE(has(fields, "grpc-status=14;")) << fields;
  EXPECT_TRUE(has(fields, "grpc-message=no_healthy_upstream: ")) << fields;
  EXPECT_TRUE(has(fields, "proxy-status=portunus; error=destination_unavailable")) << fields;
  EXPECT_TRUE(has(fields, "x-request-id=")) << fields;
  const std::string record = record_of(world);
  EXPECT_TRUE(has(record, "\"status\":200,")) << record;
  EXPECT_TRUE(has(record, "\"end_reason\":\"no_healthy_upstream\"")) << record;
}

TEST(ExchangeGrpc, NotOverHttp1) {
  ProxyWorld world;
  world.model->pools[0].retry.window = base::Milliseconds(0);
  world.start();
  auto client = call(world, "1m", http::Protocol::http11);
  ASSERT_TRUE(ends(world));
  EXPECT_EQ(client->stream.status, 502);
  EXPECT_FALSE(has(client->stream.fields, "grpc-status"));
  expect_record(world, "upstream_connect", 1);
}

TEST(ExchangeGrpc, TheClientsDeadlineCounts) {
  struct Row {
    const char* timeout;
    int configured_ms;
    bool is_first;  // nothing else has ended it before
  };
  const Row rows[] = {{"200m", 0, true},       {"200000u", 60'000, true}, {"0S", 60'000, true},
                      {"1H", 200, true},       {"", 200, true},           {"soon", 200, true},
                      {"99999999H", 0, false}, {"soon", 0, false},        {"", 0, false}};
  for (const Row& row : rows) {
    ProxyWorld world;
    world.members[0]->listen();
    world.model->pools[0].timeouts.total = base::Milliseconds(row.configured_ms);
    world.model->pools[0].timeouts.first_byte = base::Milliseconds(1'000);
    world.start();
    auto client = call(world, row.timeout);
    const std::string request = asked(world).take();
    if (*row.timeout != 0) {
      EXPECT_TRUE(has(request, std::string("grpc-timeout: ") + row.timeout + "\r\n")) << request;
    }
    ASSERT_TRUE(ends(world));
    EXPECT_EQ(client->stream.commands, "head 200; end; ");
    EXPECT_TRUE(has(client->stream.fields, "grpc-status=4;")) << client->stream.fields;
    EXPECT_EQ(has(client->stream.fields, "upstream_timeout: the request took too long"),
              row.is_first)
        << row.timeout << " " << client->stream.fields;
    expect_record(world, "upstream_timeout", 1);
  }
}

TEST(ExchangeGrpc, TheDeadlineAlsoEndsTheWaitForAMember) {
  ProxyWorld world;
  world.model->pools[0].retry.window = base::Milliseconds(60'000);
  world.start();
  auto client = call(world, "100m");
  ASSERT_TRUE(ends(world));
  EXPECT_TRUE(has(client->stream.fields, "grpc-status=4;")) << client->stream.fields;
  expect_record(world, "upstream_timeout", 1);
}

TEST(ExchangeGrpc, AnAnswerThatBreaksOffEndsWithAStatus) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = call(world);
  Peer& member = asked(world);
  says(world, member, kAnswer);
  EXPECT_EQ(client->stream.commands, "head 200; body hello; ");
  member.close();
  ASSERT_TRUE(ends(world));
  EXPECT_EQ(client->stream.commands, "head 200; body hello; trailers; end; ");
  EXPECT_TRUE(has(client->stream.trailers, "grpc-status=14;grpc-message=upstream_reset: "))
      << client->stream.trailers;
  expect_record(world, "upstream_reset", 1);
}

TEST(ExchangeGrpc, TheDeadlineInTheMiddleOfAnAnswer) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = call(world, "300m");
  says(world, asked(world), kAnswer);
  ASSERT_TRUE(ends(world));
  EXPECT_EQ(client->stream.commands, "head 200; body hello; trailers; end; ");
  EXPECT_TRUE(has(client->stream.trailers, "grpc-status=4;")) << client->stream.trailers;
  expect_record(world, "upstream_timeout", 1);
}

// Its own status is in its trailers, whatever they say.
TEST(ExchangeGrpc, AMembersStatusPasses) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = call(world, "10S");
  says(world, asked(world),
       std::string(kAnswer) + "0\r\ngrpc-status: 9\r\ngrpc-message: not now\r\n\r\n");
  EXPECT_EQ(client->stream.commands, "head 200; body hello; trailers; end; ");
  EXPECT_EQ(client->stream.trailers, "grpc-status=9;grpc-message=not now;");
  expect_record(world, "ok", 1);
}

// An answer that is none of gRPC shows its truncation as any other.
TEST(ExchangeGrpc, OtherAnswersToACallAreReset) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = call(world);
  Peer& member = asked(world);
  says(world, member, "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 9\r\n\r\na");
  member.close();
  ASSERT_TRUE(ends(world));
  EXPECT_TRUE(client->stream.is_reset);
  expect_record(world, "upstream_reset", 1);
}

TEST(ExchangeGrpc, BodiesAboveTheLimit) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->limits.body_bytes = 5;
  world.start();
  auto client = call(world);
  ASSERT_TRUE(ends(world));
  EXPECT_EQ(client->stream.commands, "head 200; end; ");
  EXPECT_TRUE(has(client->stream.fields, "grpc-status=8;")) << client->stream.fields;
  expect_record(world, "rejected_body_size", 1);
}

// Timed out or shut down before there was an answer: the stream gives it, with what is logged here.
TEST(ExchangeGrpc, WhatTheStreamAnswersIsLogged) {
  ProxyWorld world;
  world.members[0]->listen();
  world.start();
  auto client = call(world);
  asked(world);
  world.driver.turn([&] {
    client->exchange->on_reset(
        {base::EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
  });
  ASSERT_TRUE(ends(world));
  const std::string record = record_of(world);
  EXPECT_TRUE(has(record, "\"status\":200,")) << record;
  EXPECT_TRUE(has(record, "\"end_reason\":\"shutdown\"")) << record;
}

}  // namespace
}  // namespace portunus::proxy
