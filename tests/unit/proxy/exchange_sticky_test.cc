// Exchange: who names the client's member, who stays with it, and what of that shows.
#include <gtest/gtest.h>

#include "base/clock.h"
#include "proxy/sticky.h"
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

class ExchangeSticky : public testing::Test {
 protected:
  // The pool has no secret here: ProxyWorld gives it none.
  void start(const conf::Sticky& rule = {}) {
    world_.model->pools[0].sticky = rule;
    for (const auto& member : world_.members)
      member->listen();
    world_.start();
    names_ = std::make_unique<Sticky>(rule, "", "app");
    names_->set_members(*world_.generation->members[0]);
  }
  // A cookie that was made so many seconds ago.
  std::string cookie_of(std::size_t member, std::uint64_t age_s = 0) {
    base::Arena arena(world_.driver.loop.chunks());
    http::HeaderBlock answer;
    names_->add(names_->id_at(member), false, base::wall_us() / 1'000'000 - age_s, arena, answer);
    const std::string_view field = answer.value_of(http::HeaderId::set_cookie);
    return std::string(field.substr(0, field.find(';')));
  }
  std::unique_ptr<RecordedClient> ask(const std::string& cookie) {
    auto client = std::make_unique<RecordedClient>(world_.driver.loop.chunks());
    world_.driver.turn([&] {
      http::Head& head = client->head;
      head.method = http::Method::get;
      head.method_text = "GET";
      head.path = "/";
      head.authority = head.host = "example.org";
      head.fields.add(http::HeaderId::host, "example.org");
      if (!cookie.empty()) head.fields.add(http::HeaderId::cookie, client->arena.copy(cookie));
      client->exchange =
          world_.make_exchange(client->stream, net::Address::parse_ip("192.0.2.1", 1234).value());
      client->exchange->on_head(head, true);
    });
    world_.driver.settle();
    return client;
  }
  // Of the next request, by that member and with that answer. What the member saw is in request_.
  std::unique_ptr<RecordedClient> answered(const std::string& cookie,
                                           std::size_t member,
                                           std::string_view answer = kOk) {
    auto client = ask(cookie);
    Peer& peer = asked(world_, member);
    request_ = peer.take();
    says(world_, peer, answer);
    EXPECT_TRUE(client->stream.has_end);
    return client;
  }
  // Whom an answer names: the member's place, 99 for nobody.
  std::size_t named_by(const RecordedClient& client) {
    const std::string& fields = client.stream.fields;
    const std::size_t at = fields.find("set-cookie=");
    if (at == std::string::npos) return 99;
    http::HeaderBlock request;
    const std::string value = fields.substr(at + 11, fields.find(';', at) - at - 11);
    request.add(http::HeaderId::cookie, value);
    return names_->find(names_->read(request, base::wall_us() / 1'000'000).id);
  }
  void expect_sticky(const std::string& word) {
    const std::string line = record_of(world_);
    EXPECT_TRUE(has(line, "\"sticky\":\"" + word + "\"")) << line;
  }

  ProxyWorld world_{2};
  std::unique_ptr<Sticky> names_;
  std::string request_;
};

TEST_F(ExchangeSticky, OffIsNothing) {
  for (const auto& member : world_.members)
    member->listen();
  world_.start();
  auto client = ask("portunus=x");
  ASSERT_TRUE(world_.driver.run_until(
      [&] { return world_.members[0]->peers.size() + world_.members[1]->peers.size() == 1; }));
  Peer& peer = asked(world_, world_.members[0]->peers.empty() ? 1 : 0);
  EXPECT_TRUE(has(peer.in, "cookie: portunus=x\r\n")) << peer.in;
  says(world_, peer, kOk);
  EXPECT_FALSE(has(client->stream.fields, "set-cookie"));
  EXPECT_FALSE(has(record_of(world_), "sticky"));
}

TEST_F(ExchangeSticky, TheMemberThatIsNamedAnswers) {
  start();
  for (int i = 0; i < 3; ++i) {
    auto client = answered("a=b; " + cookie_of(1), 1);
    EXPECT_EQ(named_by(*client), 99U) << "the client knows";
    EXPECT_TRUE(has(request_, "cookie: a=b\r\n")) << request_;
    expect_sticky("hit");
  }
}

TEST_F(ExchangeSticky, AnOldCookieIsRenewed) {
  start();
  EXPECT_EQ(named_by(*answered(cookie_of(1, 1000), 1)), 99U);
  EXPECT_EQ(named_by(*answered(cookie_of(1, 2000), 1)), 1U);
}

TEST_F(ExchangeSticky, AMemberThatIsDownLosesItsClients) {
  start();
  world_.member(1).state = health::MemberState::draining;
  auto client = answered(cookie_of(1), 0);
  EXPECT_EQ(named_by(*client), 0U) << "the one that has answered is named";
  expect_sticky("lost");
}

TEST_F(ExchangeSticky, AFullMemberKeepsItsClients) {
  world_.model->pools[0].max_connections_per_upstream = 1;
  start();
  auto busy = ask(cookie_of(1));
  Peer& first = asked(world_, 1);
  auto client = answered(cookie_of(1), 0);
  EXPECT_EQ(named_by(*client), 99U) << "its session is still there";
  expect_sticky("lost");
  says(world_, first, kOk);
  expect_sticky("hit");
}

TEST_F(ExchangeSticky, ARetryLeavesTheMemberThatFails) {
  start();
  auto client = ask(cookie_of(1));
  Peer& broken = asked(world_, 1);
  broken.reset();
  world_.driver.settle();
  Peer& other = asked(world_, 0);
  says(world_, other, kOk);
  EXPECT_EQ(named_by(*client), 0U);
  expect_sticky("lost");
}

TEST_F(ExchangeSticky, AnErrorNamesNobody) {
  world_.model->pools[0].retry.attempts = 1;
  start();
  world_.member(1).state = health::MemberState::down;
  EXPECT_EQ(named_by(*answered("", 0, "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")), 99U);
  expect_sticky("miss");
  EXPECT_EQ(named_by(*answered("", 0, "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")), 0U);
}

TEST_F(ExchangeSticky, AnAnswerForCachesNamesNobody) {
  start();
  world_.member(1).state = health::MemberState::down;
  EXPECT_EQ(named_by(*answered(
                "", 0, "HTTP/1.1 200 OK\r\ncache-control: public\r\ncontent-length: 0\r\n\r\n")),
            99U);
}

TEST_F(ExchangeSticky, ABackupKeepsNobodyWhileOthersAreUp) {
  world_.model->pools[0].upstreams[1].backup = true;
  start();
  EXPECT_EQ(named_by(*answered(cookie_of(1), 0)), 0U);
  expect_sticky("lost");
  world_.member(0).state = health::MemberState::down;
  EXPECT_EQ(named_by(*answered(cookie_of(1), 1)), 99U);
  expect_sticky("hit");
}

TEST_F(ExchangeSticky, IsCounted) {
  start();
  world_.member(1).state = health::MemberState::down;
  static_cast<void>(answered("", 0));
  static_cast<void>(answered(cookie_of(0), 0));
  static_cast<void>(answered(cookie_of(0), 0));
  static_cast<void>(answered(cookie_of(1), 0));
  const std::string text = world_.metrics.render({});
  for (const char* line : {"result=\"miss\"} 1\n", "result=\"hit\"} 2\n", "result=\"lost\"} 1\n"})
    EXPECT_TRUE(has(text, std::string("portunus_sticky_requests_total{pool=\"app\",") + line))
        << line;
}

}  // namespace
}  // namespace portunus::proxy
