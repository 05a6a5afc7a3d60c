// The admin listener on a real loop, asked by raw sockets and by the command line.
#include "proxy/admin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conf/model.h"
#include "net/loop.h"
#include "proxy/admin_source.h"
#include "proxy/cli.h"

namespace portunus::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kPatienceMs = 10'000;

ReloadOutcome make_done() {
  ReloadOutcome outcome;
  outcome.ok = true;
  outcome.generation = 8;
  outcome.duration_s = 0.25;
  return outcome;
}

ReloadOutcome make_refused() {
  ReloadOutcome outcome;
  outcome.generation = 8;
  outcome.text = "x:1:1: error: y\n";
  outcome.diagnostics = "[{\"line\":1}]";
  outcome.error = "1 error";
  return outcome;
}

// All but the promises on the loop's thread.
class FakeSource final : public AdminSource {
 public:
  explicit FakeSource(net::Loop& loop) : loop_(loop) {}

  [[nodiscard]] std::string_view not_ready_reason() const override { return not_ready; }
  [[nodiscard]] std::string metrics_text() override { return metrics; }
  [[nodiscard]] StatusView status() const override {
    StatusView view;
    view.state = "ready";
    view.config_file = "test.yaml";
    view.generation = 7;
    view.listeners = {{"web", "127.0.0.1:80"}};
    return view;
  }
  [[nodiscard]] std::vector<PoolView> pools() const override {
    MemberView member;
    member.name = "127.0.0.1:9001";
    member.state = "up";
    return {{"api", "round_robin", {member}}, {"http://*.shop/a b", "random_two", {}}};
  }
  void reload(ReloadWaiter& waiter) override {
    ++reloads;
    waiter_ = &waiter;
    if (answers_at_once) loop_.post([this] { finish(); });
    if (reload_begun) std::exchange(reload_begun, nullptr)->set_value();
  }
  void withdraw(ReloadWaiter& waiter) override {
    if (waiter_ == &waiter) waiter_ = nullptr;
    if (withdrawn) std::exchange(withdrawn, nullptr)->set_value();
  }
  void finish() {
    if (ReloadWaiter* waiter = std::exchange(waiter_, nullptr)) waiter->on_reload_done(outcome);
  }

  std::string not_ready;
  std::string metrics = "portunus_build_info 1\n";
  ReloadOutcome outcome = make_done();
  int reloads = 0;
  bool answers_at_once = true;
  std::promise<void>* reload_begun = nullptr;
  std::promise<void>* withdrawn = nullptr;

 private:
  net::Loop& loop_;
  ReloadWaiter* waiter_ = nullptr;
};

// A blocking client with a time-out on every step.
class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_open_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0;
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool is_open() const { return is_open_; }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void send(const std::string& text) {
    EXPECT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // Up to the end of one answer, or of the connection.
  std::string read(bool has_body = true) {
    while (!has_answer(has_body)) {
      if (!read_more()) return std::exchange(seen_, {});
    }
    std::string answer = seen_.substr(0, size_);
    seen_.erase(0, size_);
    return answer;
  }
  // Whether the connection has ended, with nothing in front of the end.
  bool is_ended() { return seen_.empty() && !read_more() && seen_.empty(); }

 private:
  bool has_answer(bool has_body) {
    const std::size_t head = seen_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    size_ = head + 4;
    const std::size_t length = seen_.find("content-length: ");
    if (has_body && length < head) size_ += std::stoul(seen_.substr(length + 16));
    return seen_.size() >= size_;
  }
  bool read_more() {
    pollfd ready{.fd = socket_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPatienceMs) != 1) {
      ADD_FAILURE() << "nothing came in time after: " << seen_;
      return false;
    }
    char bytes[65536];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    seen_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  int socket_;
  bool is_open_;
  std::size_t size_ = 0;
  std::string seen_;
};

std::string body_of(const std::string& answer) {
  const std::size_t head = answer.find("\r\n\r\n");
  return head == std::string::npos ? std::string() : answer.substr(head + 4);
}

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() : source_(loop_), admin_(std::make_unique<Admin>(loop_, source_)) {
    std::string why;
    EXPECT_TRUE(admin_->open(config("127.0.0.1", 0), why)) << why;
    port_ = admin_->address().port();
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~AdminTest() override {
    on_loop([this] {
      admin_.reset();
      loop_.stop();
    });
    thread_.join();
  }

  static conf::Admin config(const std::string& host, std::uint16_t port) {
    conf::Admin admin;
    admin.listen = {host, port};
    return admin;
  }
  // Runs it on the loop's thread and waits.
  template <typename Function>
  void on_loop(Function function) {
    std::promise<void> done;
    loop_.post([&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::string ask(const std::string& line,
                  const std::string& fields = "",
                  const std::string& host = "localhost") {
    Client client(port_);
    client.send(line + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n");
    return client.read(!line.starts_with("HEAD"));
  }
  int reloads() {
    int count = 0;
    on_loop([&] { count = source_.reloads; });
    return count;
  }

  net::Loop loop_;
  FakeSource source_;
  std::unique_ptr<Admin> admin_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

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
  on_loop([&] { EXPECT_TRUE(admin_->open(config("127.0.0.1", 0), why)) << why; });
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
    EXPECT_TRUE(admin_->open(config("127.0.0.2", port_), why)) << why;
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
  on_loop([&] { EXPECT_TRUE(admin_->open(off, why)) << why; });
  on_loop([&] { EXPECT_FALSE(admin_->address().is_set()); });
  on_loop([&] { EXPECT_TRUE(admin_->open(config("localhost", port_), why)) << why; });
  EXPECT_EQ(body_of(ask("GET /livez")), "ok\n");
}

TEST_F(AdminTest, WhatItCannotOpenChangesNothing) {
  std::string why;
  on_loop([&] { EXPECT_FALSE(admin_->open(config("0.0.0.0", 0), why)); });
  EXPECT_THAT(why, HasSubstr("not a loopback"));
  on_loop([&] { EXPECT_FALSE(admin_->open(config("10.0.0.1", 0), why)); });
  on_loop([&] { EXPECT_FALSE(admin_->open(config("127.0.0.1", port_), why)); });
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

// ---- the command line against it ----

struct Said {
  int status = 0;
  std::string out;
  std::string err;
};

class CliTest : public AdminTest {
 protected:
  Said say(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--admin", "127.0.0.1:" + std::to_string(port_)});
    CliOutput output;
    const int status = run_cli(arguments, [](const std::string&) { return 99; }, output);
    return {status, output.out, output.err};
  }
};

TEST_F(CliTest, ShowsWhatRuns) {
  Said said = say({"status"});
  EXPECT_EQ(said.status, exit_ok) << said.err;
  EXPECT_THAT(said.out, HasSubstr("test.yaml"));
  EXPECT_EQ(nlohmann::json::parse(say({"status", "--json"}).out)["state"], "ready");
  said = say({"pools"});
  EXPECT_EQ(said.status, exit_ok);
  EXPECT_THAT(said.out, HasSubstr("127.0.0.1:9001"));
  said = say({"pools", "http://*.shop/a b"});
  EXPECT_EQ(said.status, exit_ok) << said.err;
  EXPECT_THAT(said.out, Not(HasSubstr("127.0.0.1:9001")));
  said = say({"pools", "nothing"});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_THAT(said.err, HasSubstr("no such pool"));
}

TEST_F(CliTest, ReloadTellsTheOutcome) {
  Said said = say({"reload"});
  EXPECT_EQ(said.status, exit_ok);
  EXPECT_EQ(said.out, "reloaded: generation 8 after 0.250 s\n");
  EXPECT_EQ(nlohmann::json::parse(say({"reload", "--json"}).out)["ok"], true);
  on_loop([&] { source_.outcome = make_refused(); });
  said = say({"reload"});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_EQ(said.out, "");
  EXPECT_EQ(said.err, "x:1:1: error: y\nrefused: 1 error; generation 8 stays\n");
}

TEST_F(CliTest, ReloadTimesOut) {
  on_loop([&] { source_.answers_at_once = false; });
  const Said said = say({"reload", "--timeout", "200ms"});
  EXPECT_EQ(said.status, exit_timed_out);
  EXPECT_THAT(said.err, HasSubstr("within 200ms"));
}

TEST_F(CliTest, HealthcheckIsReadiness) {
  EXPECT_EQ(say({"healthcheck"}).status, exit_ok);
  on_loop([&] { source_.not_ready = "starting"; });
  const Said said = say({"healthcheck"});
  EXPECT_EQ(said.status, exit_refused);
  EXPECT_THAT(said.err, HasSubstr("starting"));
  port_ = 1;
  EXPECT_EQ(say({"healthcheck"}).status, exit_unreachable);
}

}  // namespace
}  // namespace portunus::proxy
