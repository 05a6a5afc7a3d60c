// The admin listener, asked by raw sockets.
#include "tests/loop/admin_fixture.h"

namespace portunus::proxy {
namespace {

TEST_F(AdminTest, AnswersOnEveryPath) {
  for (const char* path : {"/livez", "/healthz", "/health", "/ping"}) {
    const std::string answer = ask(std::string("GET ") + path);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 ")) << path;
    EXPECT_EQ(body_of(answer), "ok\n");
    EXPECT_THAT(answer, HasSubstr("cache-control: no-store\r\n"));
    EXPECT_THAT(answer, HasSubstr("x-content-type-options: nosniff\r\n"));
  }
  EXPECT_EQ(body_of(ask("GET /readyz")), "ready\n");
  const std::string metrics = ask("GET /metrics?x=1");
  EXPECT_THAT(metrics, HasSubstr("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_EQ(body_of(metrics), source_.metrics);
  EXPECT_THAT(ask("GET /"), HasSubstr("/v1/config/reload"));

  const std::string status = ask("GET /v1/status");
  EXPECT_THAT(status, HasSubstr("content-type: application/json\r\n"));
  EXPECT_EQ(nlohmann::json::parse(body_of(status))["config"]["generation"], 7);
  EXPECT_EQ(nlohmann::json::parse(body_of(ask("GET /v1/pools")))["pools"].size(), 2U);
  EXPECT_EQ(nlohmann::json::parse(body_of(ask("GET /v1/pools/api")))["name"], "api");
  EXPECT_EQ(
      nlohmann::json::parse(body_of(ask("GET /v1/pools/http%3A%2F%2F%2a.shop%2Fa%20b")))["balance"],
      "random_two");
}

TEST_F(AdminTest, TellsWhyItIsNotReady) {
  on_loop([&] { source_.not_ready = "draining"; });
  const std::string answer = ask("GET /readyz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(body_of(answer), "draining\n");
  EXPECT_THAT(ask("GET /livez"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminTest, HeadHasTheLengthOnly) {
  const std::string answer = ask("HEAD /livez");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("content-length: 3\r\n"));
  EXPECT_EQ(body_of(answer), "");
}

TEST_F(AdminTest, RefusesWhatItDoesNotKnow) {
  for (const char* path :
       {"/nothing", "/v1/pools/", "/v1/pools/other", "/v1", "/livez/", "/v1/pools/%zz"}) {
    const std::string answer = ask(std::string("GET ") + path);
    EXPECT_THAT(answer, testing::AnyOf(StartsWith("HTTP/1.1 404 "), StartsWith("HTTP/1.1 400 ")))
        << path;
  }
  EXPECT_EQ(nlohmann::json::parse(body_of(ask("GET /nothing")))["status"], 404);
  std::string answer = ask("GET /v1/config/reload");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer, HasSubstr("allow: POST\r\n"));
  EXPECT_EQ(reloads(), 0);
  answer = ask("POST /v1/status");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer, HasSubstr("allow: GET, HEAD\r\n"));
  EXPECT_THAT(ask("DELETE /v1/pools/api"), StartsWith("HTTP/1.1 405 "));
}

TEST_F(AdminTest, WebPagesCannotDriveIt) {
  EXPECT_THAT(ask("GET /v1/status", "", "evil.example"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask("GET http://evil.example/v1/status", "", "evil.example"),
              StartsWith("HTTP/1.1 403 "));
  const char* const from_pages[] = {"Origin: http://evil.example\r\n", "Origin: null\r\n",
                                    "Sec-Fetch-Site: cross-site\r\n"};
  for (const char* field : from_pages) {
    EXPECT_THAT(ask("POST /v1/config/reload", field), StartsWith("HTTP/1.1 403 ")) << field;
  }
  EXPECT_THAT(ask("POST /v1/config/reload", "", "evil.example"), StartsWith("HTTP/1.1 403 "));
  EXPECT_EQ(reloads(), 0);
  for (const std::string host : {"127.0.0.1", "127.0.0.1:9180", "[::1]:9180", "LOCALHOST:1"}) {
    EXPECT_THAT(ask("GET /livez", "", host), StartsWith("HTTP/1.1 200 ")) << host;
  }
}

TEST_F(AdminTest, TheTokenIsAskedFor) {
  conf::Admin guarded = config("127.0.0.1", 0);
  guarded.token = "0123456789abcdef";
  std::string why;
  on_loop([&] { EXPECT_TRUE(admin_->open(guarded, inherited_, why)) << why; });
  const std::string right = "Authorization: Bearer 0123456789abcdef\r\n";
  for (const char* change : {"POST /v1/config/reload", "POST /v1/pools/api/upstreams/x:1/drain",
                             "POST /v1/services/web/stop", "DELETE /nothing", "POST /livez"}) {
    for (const char* wrong : {"", "Authorization: Bearer 0123456789abcdeF\r\n"}) {
      const std::string answer = ask(change, wrong);
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 401 ")) << change;
      EXPECT_THAT(answer, HasSubstr("www-authenticate: Bearer\r\n"));
      EXPECT_THAT(answer, Not(HasSubstr("0123456789")));
    }
    EXPECT_THAT(ask(change, right), Not(StartsWith("HTTP/1.1 401 "))) << change;
  }
  EXPECT_EQ(reloads(), 1);
  EXPECT_THAT(ask("POST /v1/config/reload", right + "Origin: null\r\n"),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask("GET /v1/status"), StartsWith("HTTP/1.1 200 "));

  guarded.token_for = conf::TokenFor::all;
  on_loop([&] { EXPECT_TRUE(admin_->open(guarded, inherited_, why)) << why; });
  for (const char* reads : {"GET /", "GET /metrics", "HEAD /v1/status", "GET /nothing",
                            "GET /v1/pools/api/upstreams/127.0.0.1:9001"}) {
    EXPECT_THAT(ask(reads), StartsWith("HTTP/1.1 401 ")) << reads;
    EXPECT_THAT(ask(reads, right), Not(StartsWith("HTTP/1.1 401 "))) << reads;
  }
  for (const char* probe : {"/livez", "/readyz", "/healthz", "/health", "/ping"})
    EXPECT_THAT(ask(std::string("GET ") + probe), StartsWith("HTTP/1.1 200 ")) << probe;
}

TEST_F(AdminTest, ANewTokenCountsOnKeptConnections) {
  conf::Admin guarded = config("127.0.0.1", 0);
  std::string why;
  const std::string first =
      "POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\n"
      "Authorization: Bearer first-0123456789\r\n\r\n";
  Client kept(port_);
  for (const char* token : {"first-0123456789", "second-0123456789", ""}) {
    guarded.token = token;
    on_loop([&] { EXPECT_TRUE(admin_->open(guarded, inherited_, why)) << why; });
    kept.send(first);
    EXPECT_THAT(kept.read(),
                StartsWith(std::string_view(token).starts_with("second") ? "HTTP/1.1 401 "
                                                                         : "HTTP/1.1 200 "));
  }
  // What has begun where it does not listen any more needs the token that was asked for there.
  guarded.token = "first-0123456789";
  on_loop([&] { EXPECT_TRUE(admin_->open(guarded, inherited_, why)) << why; });
  Client begun(port_);
  begun.send(
      "POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      "Content-Length: 1\r\n\r\n");
  EXPECT_THAT(begun.read(), StartsWith("HTTP/1.1 100 "));
  conf::Admin off;
  off.is_enabled = false;
  on_loop([&] { EXPECT_TRUE(admin_->open(off, inherited_, why)) << why; });
  begun.send("x");
  EXPECT_THAT(begun.read(), StartsWith("HTTP/1.1 401 "));
  EXPECT_EQ(reloads(), 2);
}

TEST_F(AdminTest, ReloadWaitsForItsOutcome) {
  std::promise<void> begun;
  on_loop([&] {
    source_.answers_at_once = false;
    source_.reload_begun = &begun;
  });
  Client client(port_);
  client.send("POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\n\r\n");
  begun.get_future().wait();
  EXPECT_THAT(ask("GET /livez"), StartsWith("HTTP/1.1 200 "));  // others are served meanwhile
  on_loop([&] { source_.finish(); });
  const std::string answer = client.read();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(nlohmann::json::parse(body_of(answer))["generation"], 8);
}

TEST_F(AdminTest, RefusedReloadIs422) {
  on_loop([&] { source_.outcome = make_refused(); });
  const std::string answer = ask("POST /v1/config/reload", "Content-Length: 0\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 422 "));
  const auto json = nlohmann::json::parse(body_of(answer));
  EXPECT_EQ(json["error"], "1 error");
  EXPECT_EQ(json["diagnostics"][0]["line"], 1);
}

TEST_F(AdminTest, AClientThatGoesIsWithdrawn) {
  std::promise<void> begun;
  std::promise<void> withdrawn;
  on_loop([&] {
    source_.answers_at_once = false;
    source_.reload_begun = &begun;
    source_.withdrawn = &withdrawn;
  });
  Client client(port_);
  client.send("POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\n\r\n");
  begun.get_future().wait();
  client.reset();
  EXPECT_EQ(withdrawn.get_future().wait_for(std::chrono::milliseconds(kPatienceMs)),
            std::future_status::ready);
  on_loop([&] { source_.finish(); });
  EXPECT_THAT(ask("GET /livez"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminTest, BodiesAreDroppedAndBounded) {
  EXPECT_THAT(ask("POST /v1/config/reload", "Content-Length: 2\r\n\r\n{}"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(reloads(), 1);
  EXPECT_THAT(ask("POST /v1/config/reload", "Content-Length: 70000\r\n"),
              StartsWith("HTTP/1.1 413 "));
  Client client(port_);
  client.send(
      "POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
      "chunked\r\n\r\n11000\r\n" +
      std::string(0x11000, 'x') + "\r\n");
  EXPECT_THAT(client.read(), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(reloads(), 1);
  Client polite(port_);
  polite.send("POST /v1/config/reload HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(polite.read(), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(reloads(), 1);
}

TEST_F(AdminTest, ExpectIsAnswered) {
  Client client(port_);
  client.send(
      "POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_THAT(client.read(false), StartsWith("HTTP/1.1 100 "));
  client.send("{}");
  EXPECT_THAT(client.read(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminTest, OneConnectionServesMany) {
  on_loop([&] { source_.metrics.assign(5'000'000, 'm'); });
  Client client(port_);
  const std::string fields = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  client.send("GET /metrics" + fields + "GET /livez" + fields + "POST /v1/config/reload" + fields +
              "GET /readyz" + fields);
  EXPECT_EQ(body_of(client.read()).size(), 5'000'000U);
  EXPECT_EQ(body_of(client.read()), "ok\n");
  EXPECT_THAT(client.read(), HasSubstr("\"ok\":true"));
  EXPECT_EQ(body_of(client.read()), "ready\n");
}

TEST_F(AdminTest, IdleConnectionsMakeRoom) {
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 70; ++i) {
    idle.push_back(std::make_unique<Client>(port_));
    ASSERT_TRUE(idle.back()->is_open());
    idle.back()->send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ASSERT_EQ(body_of(idle.back()->read()), "ok\n") << i;
  }
  EXPECT_TRUE(idle.front()->is_ended());  // the one that was idle for longest
}

TEST_F(AdminTest, ReopeningKeepsOrMovesTheSocket) {
  std::string why;
  const std::string request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
  Client kept(port_);
  kept.send(request);
  EXPECT_EQ(body_of(kept.read()), "ok\n");
  on_loop([&] { EXPECT_TRUE(admin_->open(config("127.0.0.1", 0), inherited_, why)) << why; });
  on_loop([&] { EXPECT_EQ(admin_->address().port(), port_); });
  kept.send(request);
  EXPECT_EQ(body_of(kept.read()), "ok\n");

  // A reload that moves it is still answered where it was asked for.
  std::promise<void> begun;
  on_loop([&] {
    source_.answers_at_once = false;
    source_.reload_begun = &begun;
  });
  Client asks(port_);
  asks.send("POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\n\r\n");
  begun.get_future().wait();
  on_loop([&] {
    EXPECT_TRUE(admin_->open(config("127.0.0.2", port_), inherited_, why)) << why;
    source_.finish();
  });
  const std::string answer = asks.read();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(kept.is_ended());
  on_loop([&] { EXPECT_EQ(admin_->address().text(), "127.0.0.2:" + std::to_string(port_)); });
  EXPECT_FALSE(Client(port_).is_open());

  conf::Admin off;
  off.is_enabled = false;
  on_loop([&] { EXPECT_TRUE(admin_->open(off, inherited_, why)) << why; });
  on_loop([&] { EXPECT_FALSE(admin_->address().is_set()); });
  on_loop([&] { EXPECT_TRUE(admin_->open(config("localhost", port_), inherited_, why)) << why; });
  EXPECT_EQ(body_of(ask("GET /livez")), "ok\n");
}

TEST_F(AdminTest, WhatItCannotOpenChangesNothing) {
  std::string why;
  on_loop([&] { EXPECT_FALSE(admin_->open(config("0.0.0.0", 0), inherited_, why)); });
  EXPECT_THAT(why, HasSubstr("not a loopback"));
  on_loop([&] { EXPECT_FALSE(admin_->open(config("10.0.0.1", 0), inherited_, why)); });
  on_loop([&] { EXPECT_FALSE(admin_->open(config("127.0.0.1", port_), inherited_, why)); });
  EXPECT_THAT(why, HasSubstr("bind"));
  EXPECT_EQ(body_of(ask("GET /livez")), "ok\n");
}

TEST_F(AdminTest, StopsWithARequestRunning) {
  std::promise<void> begun;
  std::promise<void> withdrawn;
  on_loop([&] {
    source_.answers_at_once = false;
    source_.reload_begun = &begun;
    source_.withdrawn = &withdrawn;
  });
  Client client(port_);
  client.send("POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\n\r\n");
  begun.get_future().wait();
  on_loop([&] { admin_->stop(); });
  EXPECT_EQ(withdrawn.get_future().wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_THAT(client.read(), StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(client.is_ended());
}

}  // namespace
}  // namespace portunus::proxy
