// Exchange: what is tried again, with what of the request, how often and when. As the table at the top of
// exchange_retry.cc.
#include "tests/unit/proxy/exchange_fixture.h"

namespace portunus::proxy {
namespace {

constexpr const char* kBusy = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";

conf::Retry& rule_of(ProxyWorld& world) {
  return world.model->pools[0].retry;
}

void listen_all(ProxyWorld& world) {
  for (const auto& member : world.members)
    member->listen();
}

std::size_t connections_of(const ProxyWorld& world) {
  std::size_t sum = 0;
  for (const auto& member : world.members)
    sum += member->peers.size();
  return sum;
}

// Which of two members has the only connection.
std::size_t first_asked(ProxyWorld& world) {
  EXPECT_TRUE(world.driver.run_until([&] { return connections_of(world) == 1; }));
  return world.members[0]->peers.empty() ? 1 : 0;
}

bool ends(ProxyWorld& world, const RecordedClient& client) {
  return world.driver.run_until([&] { return client.stream.has_end || client.stream.is_reset; });
}

std::string denied(ProxyWorld& world) {
  const std::string text = world.metrics.render({});
  std::string reasons;
  for (std::size_t at = 0;
       (at = text.find("portunus_retries_denied_total{", at)) != std::string::npos; ++at) {
    const std::size_t begin = text.find("reason=\"", at) + 8;
    const std::size_t end = text.find('\n', begin);
    std::string line = text.substr(begin, end - begin);
    line.erase(line.find("\"} "), 2);
    reasons += line + "; ";
  }
  return reasons;
}

// ---- the body ----

TEST(ExchangeRetry, AKeptBodyIsSentAgainInFull) {
  for (const BodyKind kind : {BodyKind::length, BodyKind::unknown}) {
    ProxyWorld world(2);
    listen_all(world);
    world.start();
    auto client = world.request(Method::put, "/", kind, kind == BodyKind::length ? 40'000 : 0);
    const std::size_t first = first_asked(world);
    const std::string part(20'000, 'a');
    world.body(*client, part, false);
    Peer& broken = asked(world, first);
    EXPECT_GT(world.exchanges_context.kept_bytes, 0U);
    broken.reset();
    world.driver.settle();
    world.body(*client, part, true);
    Peer& member = asked(world, 1 - first);
    ASSERT_TRUE(world.driver.run_until([&] { return member.in.size() > 40'000; }));
    const std::string request = member.take();
    EXPECT_EQ(static_cast<std::size_t>(std::count(request.begin(), request.end(), 'a')),
              40'000U + static_cast<std::size_t>(std::count(
                            request.begin(),
                            request.begin() + static_cast<std::ptrdiff_t>(request.find("\r\n\r\n")),
                            'a')));
    says(world, member, kOk);
    EXPECT_EQ(client->stream.status, 200);
    expect_record(world, "ok", 2, "upstream_reset");
    EXPECT_EQ(world.exchanges_context.kept_bytes, 0U);
  }
}

TEST(ExchangeRetry, TrailersAreSentAgain) {
  ProxyWorld world(2);
  listen_all(world);
  world.start();
  auto client = world.request(Method::put, "/", BodyKind::unknown);
  const std::size_t first = first_asked(world);
  http::HeaderBlock trailers;
  trailers.add("x-sum", "42");
  world.driver.turn([&] {
    client->exchange->on_body({"abc", 3}, false);
    client->exchange->on_trailers(trailers);
  });
  asked(world, first).reset();
  world.driver.settle();
  Peer& member = asked(world, 1 - first);
  ASSERT_TRUE(world.driver.run_until([&] { return has(member.in, "x-sum: 42"); })) << member.in;
  EXPECT_TRUE(has(member.in, "3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n")) << member.in;
  says(world, member, kOk);
  expect_record(world, "ok", 2, "upstream_reset");
}

TEST(ExchangeRetry, ABodyAboveTheBufferIsSentOnce) {
  for (const BodyKind kind : {BodyKind::length, BodyKind::unknown}) {
    ProxyWorld world(2);
    listen_all(world);
    rule_of(world).body_buffer = 5;
    world.start();
    auto client = world.request(Method::put, "/", kind, kind == BodyKind::length ? 6 : 0);
    const std::size_t first = first_asked(world);
    asked(world, first);
    world.body(*client, "abc", false);
    world.body(*client, "def", true);
    ASSERT_TRUE(world.driver.run_until([&] { return has(world.connection(first).in, "def"); }));
    world.connection(first).reset();
    ASSERT_TRUE(ends(world, *client));
    EXPECT_EQ(client->stream.status, 502);
    EXPECT_EQ(connections_of(world), 1U);
    EXPECT_EQ(denied(world), "body 1; ");
    expect_record(world, "upstream_reset", 1);
  }
}

// ---- methods ----

TEST(ExchangeRetry, APostIsRepeatedWithAKeyOrByRule) {
  enum class By { nothing, key, rule };
  for (const By by : {By::nothing, By::key, By::rule}) {
    ProxyWorld world(2);
    listen_all(world);
    if (by == By::rule) rule_of(world).methods = {"POST"};
    world.start();
    auto client = std::make_unique<RecordedClient>(world.driver.loop.chunks());
    world.driver.turn([&] {
      client->head.method = Method::post;
      client->head.method_text = "POST";
      client->head.path = "/";
      client->head.body = BodyKind::length;
      client->head.content_length = 3;
      client->head.fields.add(http::HeaderId::host, "x");
      if (by == By::key) client->head.fields.add("idempotency-key", "7");
      client->exchange = world.make_exchange(client->stream, net::Address{});
      client->exchange->on_head(client->head, false);
      client->exchange->on_body({"abc", 3}, true);
    });
    const std::size_t first = first_asked(world);
    asked(world, first).reset();
    world.driver.settle();
    if (by == By::nothing) {
      ASSERT_TRUE(ends(world, *client));
      EXPECT_EQ(client->stream.status, 502);
      EXPECT_EQ(connections_of(world), 1U);
      EXPECT_EQ(denied(world), "method 1; ");
    } else {
      Peer& member = asked(world, 1 - first);
      EXPECT_TRUE(has(member.in, "\r\n\r\nabc"));
      says(world, member, kOk);
      EXPECT_EQ(client->stream.status, 200);
    }
  }
}

TEST(ExchangeRetry, OffMeansOnce) {
  ProxyWorld world(2);
  world.members[0]->listen();
  rule_of(world).window = base::Milliseconds(0);
  world.start();
  int failed = 0;
  for (int i = 0; i < 2; ++i) {  // round robin
    auto client = world.request(Method::get);
    if (world.driver.run_until([&] { return client->stream.has_end; }, 200)) {
      EXPECT_EQ(client->stream.status, 502);
      ++failed;
    } else {
      says(world, asked(world), kOk);
    }
    EXPECT_TRUE(has(record_of(world), "\"attempts\":1,"));
  }
  EXPECT_EQ(failed, 1);
}

// ---- answers ----

TEST(ExchangeRetry, AListedStatusIsBetteredByAnother) {
  for (const bool is_short : {true, false}) {
    ProxyWorld world(2);
    listen_all(world);
    world.start();
    auto client = world.request(Method::get);
    const std::size_t first = first_asked(world);
    // Its body need not have come.
    says(world, asked(world, first),
         is_short ? "HTTP/1.1 503 B\r\ncontent-length: 0\r\n\r\n"
                  : "HTTP/1.1 503 B\r\ncontent-length: 9\r\n\r\nbu");
    EXPECT_EQ(client->stream.commands, "");
    says(world, asked(world, 1 - first), kOk);
    EXPECT_EQ(client->stream.commands, "head 200; body ok; end; ");
    expect_record(world, "ok", 2, "upstream_status");
    // An answer that has ended leaves its connection for the next request.
    EXPECT_EQ(world.member(first).connections.load(), is_short ? 1U : 0U);
  }
}

TEST(ExchangeRetry, TheLastAnswerIsTheMembers) {
  ProxyWorld world(3);
  listen_all(world);
  rule_of(world).attempts = 2;
  world.start();
  auto client = world.request(Method::get);
  for (int i = 0; i < 2; ++i) {
    Peer* member = nullptr;
    ASSERT_TRUE(world.driver.run_until([&] {
      for (const auto& listener : world.members) {
        for (const auto& peer : listener->peers) {
          if (has(peer->in, "\r\n\r\n")) member = peer.get();
        }
      }
      return member != nullptr;
    }));
    member->take();
    says(world, *member, kBusy);
  }
  EXPECT_EQ(client->stream.commands, "head 503; body busy; end; ");
  EXPECT_EQ(connections_of(world), 2U);
  EXPECT_EQ(denied(world), "attempts 1; ");
  expect_record(world, "ok", 2, "upstream_status");
}

TEST(ExchangeRetry, StatusesThatAreNotListedPass) {
  ProxyWorld world(2);
  listen_all(world);
  rule_of(world).on_status = {502};
  world.start();
  auto client = world.request(Method::get);
  says(world, asked(world, first_asked(world)), kBusy);
  EXPECT_EQ(client->stream.commands, "head 503; body busy; end; ");
  EXPECT_EQ(denied(world), "");
  expect_record(world, "ok", 1);
}

TEST(ExchangeRetry, TheOnlyMemberIsAskedAgainAfterThePause) {
  ProxyWorld world;
  listen_all(world);
  rule_of(world).window = base::Milliseconds(5'000);
  rule_of(world).pause = base::Milliseconds(150);
  world.start();
  auto client = world.request(Method::get);
  Peer& member = asked(world);
  member.take();
  const std::uint64_t asked_at = world.driver.loop.now_ms();
  says(world, member, "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
  EXPECT_EQ(world.pool().queue_length(), 1U);
  EXPECT_TRUE(world.driver.run_until([&] { return has(member.in, "\r\n\r\n"); }));
  EXPECT_GE(world.driver.loop.now_ms() - asked_at, 150U);
  says(world, member, kOk);
  EXPECT_EQ(client->stream.status, 200);
  expect_record(world, "ok", 2, "upstream_status");
}

// "Come back in so many seconds" is heeded, and not waited for when it is beyond the window.
TEST(ExchangeRetry, RetryAfter) {
  for (const bool is_far : {false, true}) {
    ProxyWorld world;
    listen_all(world);
    rule_of(world).window = base::Milliseconds(5'000);
    rule_of(world).pause = base::Milliseconds(20);
    world.start();
    auto client = world.request(Method::get);
    Peer& member = asked(world);
    member.take();
    const std::uint64_t asked_at = world.driver.loop.now_ms();
    says(world, member,
         is_far ? "HTTP/1.1 503 B\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n"
                : "HTTP/1.1 503 B\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
    if (is_far) {
      EXPECT_EQ(client->stream.commands, "head 503; end; ");
      EXPECT_EQ(denied(world), "time 1; ");
      continue;
    }
    EXPECT_TRUE(world.driver.run_until([&] { return has(member.in, "\r\n\r\n"); }));
    EXPECT_GE(world.driver.loop.now_ms() - asked_at, 1'000U);
    says(world, member, kOk);
    EXPECT_EQ(client->stream.status, 200);
  }
}

// ---- nothing after the first byte ----

TEST(ExchangeRetry, NothingIsTriedAgainOnceTheClientHasHeardAnything) {
  for (const char* said : {"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
                           "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na"}) {
    ProxyWorld world(2);
    listen_all(world);
    world.start();
    auto client = world.request(Method::get);
    Peer& member = asked(world, first_asked(world));
    says(world, member, said);
    member.reset();
    ASSERT_TRUE(ends(world, *client));
    EXPECT_EQ(connections_of(world), 1U);
    EXPECT_EQ(denied(world), "started 1; ") << said;
    expect_record(world, "upstream_reset", 1);
  }
}

// ---- time ----

TEST(ExchangeRetry, ASilentMemberIsLeftAfterPerTry) {
  ProxyWorld world(2);
  listen_all(world);
  rule_of(world).window = base::Milliseconds(5'000);
  rule_of(world).per_try = base::Milliseconds(100);
  world.start();
  auto client = world.request(Method::get);
  const std::size_t first = first_asked(world);
  asked(world, first);
  says(world, asked(world, 1 - first), kOk);
  EXPECT_EQ(client->stream.status, 200);
  expect_record(world, "ok", 2, "upstream_timeout");
}

TEST(ExchangeRetry, AMemberThatComesUpEndsTheWait) {
  for (const bool is_timely : {true, false}) {
    ProxyWorld world;
    listen_all(world);
    if (is_timely) rule_of(world).window = rule_of(world).pause = base::Milliseconds(60'000);
    world.start();
    world.member(0).state = health::MemberState::down;
    auto client = world.request(Method::post);
    EXPECT_EQ(world.pool().queue_length(), 1U);
    // An event that brings nobody changes nothing.
    world.driver.turn([&] { world.pool().wake_for_members(); });
    EXPECT_EQ(world.pool().queue_length(), 1U);
    if (!is_timely) {
      ASSERT_TRUE(ends(world, *client));
      EXPECT_EQ(client->stream.status, 503);
      expect_record(world, "no_healthy_upstream", 0);
      continue;
    }
    world.member(0).state = health::MemberState::up;
    world.driver.turn([&] { world.pool().wake_for_members(); });
    says(world, asked(world), kOk);
    EXPECT_EQ(client->stream.status, 200);
    expect_record(world, "ok", 1);
  }
}

TEST(ExchangeRetry, AClientThatLeavesWhileItsRequestWaits) {
  ProxyWorld world;
  world.start();
  world.member(0).state = health::MemberState::down;
  auto client = world.request(Method::put, "/", BodyKind::length, 3);
  world.body(*client, "abc", true);
  EXPECT_EQ(world.pool().queue_length(), 1U);
  world.reset(*client);
  EXPECT_EQ(world.pool().queue_length(), 0U);
  EXPECT_EQ(world.exchanges.live(), 0U);
  expect_record(world, "client_closed", 0);
}

TEST(ExchangeRetry, NotMoreWaitThanMay) {
  ProxyWorld world;
  world.model->pools[0].overload.max_pending = 2;
  world.start();
  world.member(0).state = health::MemberState::down;
  std::vector<std::unique_ptr<RecordedClient>> clients;
  for (int i = 0; i < 3; ++i)
    clients.push_back(world.request(Method::get));
  EXPECT_EQ(world.pool().queue_length(), 2U);
  EXPECT_EQ(clients[2]->stream.status, 503);
  expect_record(world, "no_healthy_upstream", 0);
  world.reset(*clients[0]);
  world.reset(*clients[1]);
}

// ---- the budget ----

// So many requests are at the first of two members; the second comes up after that.
std::vector<std::unique_ptr<RecordedClient>> ask_the_first(ProxyWorld& world, std::size_t count) {
  std::vector<std::unique_ptr<RecordedClient>> clients;
  world.member(1).state = health::MemberState::down;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(world.request(Method::get));
    asked(world, 0, i);
  }
  world.member(1).state = health::MemberState::up;
  return clients;
}

// All requests of a member break at once: they are sent again, but never more than three together.
TEST(ExchangeRetry, TheBudgetIsKeptAndAllAreSaved) {
  constexpr std::size_t kRequests = 12;
  ProxyWorld world(2);
  listen_all(world);
  rule_of(world).window = base::Milliseconds(5'000);
  world.start();
  const auto clients = ask_the_first(world, kRequests);
  for (std::size_t i = 0; i < kRequests; ++i)
    world.connection(0, i).reset();
  world.driver.settle();
  std::size_t answered = 0;
  while (answered < kRequests) {
    ASSERT_TRUE(world.driver.run_until([&] {
      std::size_t waiting = 0;
      for (const auto& peer : world.members[1]->peers)
        waiting += has(peer->in, "\r\n\r\n") ? 1U : 0U;
      return waiting == std::min<std::size_t>(3, kRequests - answered);
    })) << answered;
    EXPECT_EQ(world.pool().queue_length(),
              kRequests - answered - std::min<std::size_t>(3, kRequests - answered));
    for (const auto& peer : world.members[1]->peers) {
      if (!has(peer->in, "\r\n\r\n")) continue;
      peer->take();
      says(world, *peer, kOk);
      ++answered;
      break;
    }
  }
  for (const auto& client : clients)
    EXPECT_EQ(client->stream.status, 200);
  EXPECT_EQ(denied(world), "");
}

// Where there is an answer to give, nobody waits for the budget.
TEST(ExchangeRetry, AnswersPassWhenTheBudgetIsUsedUp) {
  ProxyWorld world(2);
  listen_all(world);
  world.start();
  const auto clients = ask_the_first(world, 5);
  for (std::size_t i = 0; i < 5; ++i)
    says(world, world.connection(0, i), kBusy);
  std::size_t busy = 0;
  for (const auto& client : clients)
    busy += client->stream.status == 503 ? 1U : 0U;
  EXPECT_EQ(busy, 2U);
  EXPECT_EQ(denied(world), "budget 2; ");
  ASSERT_TRUE(world.driver.run_until([&] { return world.members[1]->peers.size() == 3; }));
  for (std::size_t i = 0; i < 3; ++i)
    says(world, asked(world, 1, i), kOk);
}

// An answer that takes for ever, as a stream of events does, keeps no place in the budget.
TEST(ExchangeRetry, StreamsHoldNoBudget) {
  ProxyWorld world(2);
  listen_all(world);
  world.start();
  const auto clients = ask_the_first(world, 4);
  for (std::size_t i = 0; i < 4; ++i)
    world.connection(0, i).reset();
  for (std::size_t i = 0; i < 4; ++i) {  // the fourth comes when the head of another has
    says(world, asked(world, 1, i), "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nevent");
  }
  EXPECT_TRUE(world.driver.run_until([&] {
    return std::ranges::all_of(clients, [](const auto& it) { return it->stream.status == 200; });
  }));
  for (const auto& client : clients)
    world.reset(*client);
}

// A pause is a pause, whatever happens to members that this request has not to do with.
TEST(ExchangeRetry, EventsThatBringNobodyNewDoNotShortenThePause) {
  ProxyWorld world;
  listen_all(world);
  rule_of(world).window = base::Milliseconds(5'000);
  rule_of(world).pause = base::Milliseconds(400);
  world.start();
  auto client = world.request(Method::get);
  Peer& member = asked(world);
  member.take();
  const std::uint64_t asked_at = world.driver.loop.now_ms();
  says(world, member, "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
  for (int i = 0; i < 5; ++i) {
    world.driver.turn([&] { world.pool().wake_for_members(); });
    world.driver.settle();
    EXPECT_EQ(world.pool().queue_length(), 1U);
  }
  EXPECT_TRUE(world.driver.run_until([&] { return has(member.in, "\r\n\r\n"); }));
  EXPECT_GE(world.driver.loop.now_ms() - asked_at, 400U);
  says(world, member, kOk);
  EXPECT_EQ(client->stream.status, 200);
}

// A kept connection that had died once is no excuse for what fails later.
TEST(ExchangeRetry, AfterAStaleConnectionTheQueueHasItsBound) {
  ProxyWorld world;
  listen_all(world);
  world.model->pools[0].max_connections_per_upstream = 1;
  world.model->pools[0].overload.pending_timeout = base::Milliseconds(150);
  world.start();
  auto first = world.request(Method::get);
  says(world, asked(world), kOk);
  world.connection().take();
  auto second = world.request(Method::get);
  asked(world);
  auto holder = world.request(Method::get);  // waits, and gets the room when the connection dies
  EXPECT_EQ(world.pool().queue_length(), 1U);
  world.connection().reset();
  world.driver.settle();
  EXPECT_TRUE(world.driver.run_until([&] {
    return second->stream.has_end || holder->stream.has_end;
  })) << "who has no room is told within its time";
  world.reset(second->stream.has_end ? *holder : *second);
}

// An HTTP/1.0 client says no Host: each member gets its own.
TEST(ExchangeRetry, TheHostIsThatOfEachMember) {
  ProxyWorld world(2);
  listen_all(world);
  world.start();
  auto client = std::make_unique<RecordedClient>(world.driver.loop.chunks());
  world.driver.turn([&] {
    client->head.method = Method::get;
    client->head.method_text = "GET";
    client->head.path = "/";
    client->head.protocol = http::Protocol::http10;
    client->exchange = world.make_exchange(client->stream, net::Address{});
    client->exchange->on_head(client->head, true);
  });
  const std::size_t first = first_asked(world);
  Peer& broken = asked(world, first);
  EXPECT_TRUE(has(broken.in, "host: " + world.member(first).name)) << broken.in;
  broken.reset();
  world.driver.settle();
  Peer& member = asked(world, 1 - first);
  EXPECT_TRUE(has(member.in, "host: " + world.member(1 - first).name)) << member.in;
  EXPECT_FALSE(has(member.in, world.member(first).name)) << member.in;
  says(world, member, kOk);
  EXPECT_EQ(client->stream.status, 200);
}

}  // namespace
}  // namespace portunus::proxy
