// Exchange: who is let in, by address and by how often, and what the others are told. No member is
// asked for them.
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

// One request an hour for each client.
conf::RateLimit hourly() {
  conf::RateLimit rule;
  rule.requests = 1;
  rule.per = base::Milliseconds(3'600'000);
  rule.burst = 1;
  return rule;
}

// All routes answer by themselves.
void respond(ProxyWorld& world) {
  conf::Respond answer;
  answer.status = 204;
  world.model->sites[0].routes[0].action = answer;
}

int status_of(ProxyWorld& world, std::string_view path = "/") {
  return world.request(Method::get, path)->stream.status;
}

TEST(ExchangeAdmission, OneTooManyIsAnsweredWithoutAMember) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->sites[0].rate_limit = hourly();
  world.start();
  auto first = world.request(Method::get);
  says(world, asked(world), kOk);
  EXPECT_EQ(first->stream.status, 200);
  EXPECT_FALSE(has(first->stream.fields, "ratelimit")) << first->stream.fields;
  expect_record(world, "ok", 1);
  auto second = world.request(Method::post, "/", BodyKind::length, 1000);
  EXPECT_EQ(second->stream.status, 429) << "before its body is there";
  const std::string& fields = second->stream.fields;
  EXPECT_TRUE(has(fields, "retry-after=3600;")) << fields;
  EXPECT_TRUE(has(fields, "ratelimit-policy=\"default\";q=1;w=3600;")) << fields;
  EXPECT_TRUE(has(fields, "ratelimit=\"default\";r=0;t=3600;")) << fields;
  EXPECT_TRUE(has(fields, "proxy-status=portunus; error=http_request_denied; ")) << fields;
  expect_record(world, "rate_limited", 0);
}

// A level refuses what is of lower priority, before anything is done for it.
TEST(ExchangeAdmission, AShortageRefusesByPriority) {
  for (const conf::Priority priority :
       {conf::Priority::low, conf::Priority::normal, conf::Priority::high}) {
    ProxyWorld world;
    respond(world);
    world.model->sites[0].priority = priority;
    world.start();
    const auto rank = static_cast<std::uint8_t>(priority);
    for (std::uint8_t level = 0; level <= 2; ++level) {
      world.exchanges_context.shed_level = level;
      const auto answer = world.request(Method::get);
      if (rank >= level) {
        EXPECT_EQ(answer->stream.status, 204);
        expect_record(world, "ok", 0);
        continue;
      }
      EXPECT_EQ(answer->stream.status, 503);
      EXPECT_TRUE(has(answer->stream.fields, "retry-after=1;")) << answer->stream.fields;
      expect_record(world, "overloaded", 0);
    }
    world.exchanges_context.shed_level = 0;
    for (std::uint8_t i = 0; i < 2; ++i)
      EXPECT_EQ(world.exchanges_context.shed.at(i), i == rank ? 2U - rank : 0U);
  }
}

TEST(ExchangeAdmission, ARouteHasAPriorityOfItsOwn) {
  ProxyWorld world;
  respond(world);
  world.model->sites[0].priority = conf::Priority::low;
  world.model->sites[0].routes[0].priority = conf::Priority::high;
  world.start();
  world.exchanges_context.shed_level = 2;
  EXPECT_EQ(status_of(world), 204);
}

TEST(ExchangeAdmission, AClientHasSoManyRequestsInFlight) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->limits.client_requests = 2;
  world.start();
  auto first = world.request(Method::get);
  auto second = world.request(Method::get);
  auto third = world.request(Method::get);
  EXPECT_EQ(third->stream.status, 429);
  EXPECT_TRUE(has(third->stream.fields, "retry-after=1;")) << third->stream.fields;
  expect_record(world, "client_limited", 0);
  says(world, asked(world), kOk);
  EXPECT_EQ(first->stream.status, 200);
  auto fourth = world.request(Method::get);
  EXPECT_EQ(fourth->stream.status, 0) << "in the place of the first";
  world.reset(*second);
  world.reset(*fourth);
  auto fifth = world.request(Method::get);
  EXPECT_EQ(fifth->stream.status, 0) << "clients that leave give their places back";
  world.reset(*fifth);
}

TEST(ExchangeAdmission, AllAnswersTellTheLimit) {
  ProxyWorld world;
  world.members[0]->listen();
  world.model->sites[0].rate_limit = hourly();
  world.model->sites[0].rate_limit->burst = 3;
  world.model->sites[0].rate_limit->headers = conf::RateHeaders::all;
  world.start();
  auto first = world.request(Method::get);
  says(world, asked(world), kOk);
  EXPECT_TRUE(has(first->stream.fields, "ratelimit=\"default\";r=2;t=3600;"))
      << first->stream.fields;
  world.member(0).state = health::MemberState::down;
  auto second = world.request(Method::get);
  ASSERT_TRUE(world.driver.run_until([&] { return second->stream.has_end; }, 3'000));
  EXPECT_EQ(second->stream.status, 503);
  EXPECT_TRUE(has(second->stream.fields, "ratelimit=\"default\";r=1;t=7200;"))
      << second->stream.fields;
}

TEST(ExchangeAdmission, HeadersMayBeOff) {
  ProxyWorld world;
  respond(world);
  world.model->sites[0].rate_limit = hourly();
  world.model->sites[0].rate_limit->headers = conf::RateHeaders::off;
  world.start();
  EXPECT_EQ(status_of(world), 204);
  auto refused = world.request(Method::get);
  EXPECT_EQ(refused->stream.status, 429);
  EXPECT_TRUE(has(refused->stream.fields, "retry-after=3600;")) << refused->stream.fields;
  EXPECT_FALSE(has(refused->stream.fields, "ratelimit")) << refused->stream.fields;
}

TEST(ExchangeAdmission, ARuleThatOnlyReportsRefusesNothing) {
  ProxyWorld world;
  respond(world);
  world.model->sites[0].rate_limit = hourly();
  world.model->sites[0].rate_limit->report_only = true;
  world.start();
  EXPECT_EQ(status_of(world), 204);
  EXPECT_FALSE(has(record_of(world), "reported_reason"));
  EXPECT_EQ(status_of(world), 204);
  const std::string record = record_of(world);
  EXPECT_TRUE(has(record, "\"end_reason\":\"ok\",\"reported_reason\":\"rate_limited\"")) << record;
}

TEST(ExchangeAdmission, WhoIsKeptOutByAddressIsNotCounted) {
  ProxyWorld world;
  respond(world);
  conf::Site& site = world.model->sites[0];
  site.rate_limit = hourly();
  conf::Route closed = site.routes[0];
  closed.name = "closed";
  closed.match.paths = {{"/closed", false}};
  closed.addresses.denied = {"192.0.2.0/24"};
  site.routes.insert(site.routes.begin(), std::move(closed));
  world.start();
  auto refused = world.request(Method::get, "/closed");
  EXPECT_EQ(refused->stream.status, 403);
  expect_record(world, "rejected_address", 0);
  EXPECT_EQ(status_of(world), 204) << "the refusal has cost it nothing";
  EXPECT_EQ(status_of(world), 429);
}

TEST(ExchangeAdmission, TheSiteAndTheRouteHaveToAllowIt) {
  struct Row {
    conf::AddressLists site;
    conf::AddressLists route;
    int status;
  };
  const Row rows[] = {
      {{}, {}, 204},
      {{.allowed = {"192.0.2.1"}, .denied = {}}, {}, 204},
      {{.allowed = {"10.0.0.0/8"}, .denied = {}}, {}, 403},
      {{.allowed = {"10.0.0.0/8", "192.0.2.0/24"}, .denied = {}}, {}, 204},
      {{}, {.allowed = {"2001:db8::/32"}, .denied = {}}, 403},
      {{.allowed = {}, .denied = {"192.0.2.2"}}, {}, 204},
      {{.allowed = {}, .denied = {"192.0.2.0/31"}}, {}, 403},
      {{.allowed = {"192.0.2.0/24"}, .denied = {"192.0.2.1"}}, {}, 403},
      {{.allowed = {"10.0.0.0/8"}, .denied = {}}, {.allowed = {"192.0.2.1"}, .denied = {}}, 403},
      {{.allowed = {"192.0.2.0/24"}, .denied = {}}, {.allowed = {"192.0.2.1"}, .denied = {}}, 204},
      {{.allowed = {}, .denied = {"192.0.2.1"}}, {.allowed = {"192.0.2.1"}, .denied = {}}, 403}};
  for (const Row& row : rows) {
    SCOPED_TRACE(&row - rows);
    ProxyWorld world;
    respond(world);
    world.model->sites[0].addresses = row.site;
    world.model->sites[0].routes[0].addresses = row.route;
    world.start();
    EXPECT_EQ(status_of(world), row.status);
  }
}

// Which addresses a trusted proxy names is its business; what is none is nobody's who is allowed.
TEST(ExchangeAdmission, WhatATrustedProxySaysCounts) {
  struct Row {
    const char* forwarded_for;
    int status;
  };
  const Row rows[] = {{"10.1.1.1", 204},
                      {"203.0.113.9", 403},
                      {"10.1.1.1, 203.0.113.9", 403},
                      {"203.0.113.9, 10.1.1.1", 204},
                      {"10.1.1.999", 403},
                      {"unknown", 403}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.forwarded_for);
    ProxyWorld world;
    respond(world);
    world.model->trusted_proxies = {"192.0.2.1"};
    world.model->sites[0].addresses.allowed = {"10.0.0.0/8"};
    world.start();
    RecordedClient client(world.driver.loop.chunks());
    world.driver.turn([&] {
      client.head.method = Method::get;
      client.head.method_text = "GET";
      client.head.path = "/";
      client.head.host = "example.org";
      client.head.fields.add(http::HeaderId::x_forwarded_for, row.forwarded_for);
      world.make_exchange(client.stream, net::Address::parse_ip("192.0.2.1", 1).value())
          ->on_head(client.head, true);
    });
    world.driver.settle();
    EXPECT_EQ(client.stream.status, row.status);
  }
}

TEST(ExchangeAdmission, CallsOfGrpcGetAStatusOfGrpc) {
  ProxyWorld world;
  respond(world);
  conf::Site& site = world.model->sites[0];
  site.rate_limit = hourly();
  conf::Route closed = site.routes[0];
  closed.name = "closed";
  closed.match.paths = {{"/closed.Service", true}};
  closed.addresses.denied = {"192.0.2.0/24"};
  site.routes.insert(site.routes.begin(), std::move(closed));
  world.start();
  EXPECT_EQ(status_of(world), 204);
  for (const auto& [path, status] :
       {std::pair{"/closed.Service/A", "grpc-status=7;"}, {"/open.Service/A", "grpc-status=8;"}}) {
    RecordedClient client(world.driver.loop.chunks());
    world.driver.turn([&] {
      client.head.protocol = http::Protocol::http2;
      client.head.method = Method::post;
      client.head.method_text = "POST";
      client.head.path = path;
      client.head.host = "example.org";
      client.head.fields.add(http::HeaderId::content_type, "application/grpc");
      client.head.body = BodyKind::unknown;
      world.make_exchange(client.stream, net::Address::parse_ip("192.0.2.1", 1).value())
          ->on_head(client.head, false);
    });
    world.driver.settle();
    EXPECT_EQ(client.stream.commands, "head 200; end; ");
    EXPECT_TRUE(has(client.stream.fields, status)) << client.stream.fields;
  }
}

}  // namespace
}  // namespace portunus::proxy
