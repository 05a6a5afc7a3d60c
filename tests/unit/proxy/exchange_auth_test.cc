// Exchange: what waits while a name and a password are compared on another thread.
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

// Of `open sesame`.
constexpr const char* kHash = "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy";
constexpr const char* kRight = "Basic YWxpY2U6b3BlbiBzZXNhbWU=";
constexpr const char* kWrong = "Basic YWxpY2U6b3Blbiwgc2VzYW1l";

struct AuthWorld {
  explicit AuthWorld(std::size_t members_count = 1) : world(members_count) {
    for (auto& member : world.members)
      member->listen();
    conf::BasicAuth& rules = world.model->sites[0].basic_auth.emplace();
    rules.users = {{"alice", kHash}};
    rules.challenge = "Basic realm=\"x\"";
    rules.user_field = "x-user";
    world.start();
  }
  std::unique_ptr<RecordedClient> ask(std::string_view field, std::string_view body = {}) {
    auto client = std::make_unique<RecordedClient>(world.driver.loop.chunks());
    world.driver.turn([&] {
      http::Head& head = client->head;
      head.method = Method::put;
      head.method_text = "PUT";
      head.path = "/";
      head.authority = head.host = "example.org";
      head.fields.add(http::HeaderId::host, "example.org");
      if (!field.empty()) head.fields.add(http::HeaderId::authorization, field);
      head.body = BodyKind::length;
      head.content_length = body.size();
      const auto peer = net::Address::parse_ip("192.0.2.1", 1234).value();
      client->exchange = world.make_exchange(client->stream, peer);
      client->exchange->on_head(head, false);
      client->exchange->on_body({body.data(), body.size()}, true);
    });
    return client;
  }

  ProxyWorld world;
};

TEST(ExchangeAuth, TheBodyWaitsWithItsRequest) {
  AuthWorld auth;
  ProxyWorld& world = auth.world;
  auto client = auth.ask(kRight, "word");
  EXPECT_EQ(client->stream.status, 0);
  Peer& member = asked(world);
  EXPECT_TRUE(world.driver.run_until([&] { return has(member.in, "\r\n\r\nword"); })) << member.in;
  EXPECT_TRUE(has(member.in, "x-user: alice\r\n")) << member.in;
  EXPECT_FALSE(has(member.in, "authorization")) << member.in;
  says(world, member, kOk);
  EXPECT_EQ(client->stream.status, 200);
  const std::string record = record_of(world);
  EXPECT_TRUE(has(record, "\"user\":\"alice\"")) << record;
}

// It came before anybody knew that it has to be kept.
TEST(ExchangeAuth, TheBodyThatHasWaitedIsSentAgain) {
  AuthWorld auth(2);
  ProxyWorld& world = auth.world;
  auto client = auth.ask(kRight, "word");
  const auto asked_of = [&](std::size_t member) {
    const auto& peers = world.members[member]->peers;
    return !peers.empty() && has(peers[0]->in, "\r\n\r\nword");
  };
  ASSERT_TRUE(world.driver.run_until([&] { return asked_of(0) || asked_of(1); }));
  const std::size_t at = asked_of(0) ? 0 : 1;
  world.connection(at, 0).reset();
  ASSERT_TRUE(world.driver.run_until([&] { return asked_of(1 - at); }));
  says(world, world.connection(1 - at, 0), kOk);
  EXPECT_EQ(client->stream.status, 200);
  EXPECT_TRUE(has(record_of(world), "\"attempts\":2,"));
}

TEST(ExchangeAuth, TheClientLeavesMeanwhile) {
  AuthWorld auth;
  ProxyWorld& world = auth.world;
  auto client = auth.ask(kRight, "word");
  world.reset(*client);
  const std::string record = record_of(world);
  EXPECT_TRUE(has(record, "\"end_reason\":\"client_closed\"")) << record;
  EXPECT_FALSE(has(record, "alice")) << "nobody knows that it was: " << record;
  auto other = auth.ask(kRight);
  says(world, asked(world), kOk);
  EXPECT_EQ(other->stream.status, 200);
}

TEST(ExchangeAuth, AWrongPassword) {
  AuthWorld auth;
  ProxyWorld& world = auth.world;
  auto client = auth.ask(kWrong, "word");
  EXPECT_TRUE(world.driver.run_until([&] { return client->stream.status != 0; }));
  EXPECT_EQ(client->stream.status, 401);
  EXPECT_TRUE(has(client->stream.fields, "www-authenticate=Basic realm=\"x\";"))
      << client->stream.fields;
  const std::string record = record_of(world);
  EXPECT_TRUE(has(record, "\"end_reason\":\"rejected_credentials\"")) << record;
  EXPECT_FALSE(has(record, "alice")) << record;
  auto again = auth.ask(kWrong);
  EXPECT_EQ(again->stream.status, 401) << "at once";
}

}  // namespace
}  // namespace portunus::proxy
