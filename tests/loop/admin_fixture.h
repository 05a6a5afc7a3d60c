// The admin listener on a real loop in a thread of its own, a source that the test plays, and raw clients.
#pragma once

#include "proxy/admin.h"
#include "supervisor/sockets.h"

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
#include "proxy/explain.h"

namespace portunus::proxy {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

inline constexpr int kPatienceMs = 10'000;

inline ReloadOutcome make_done() {
  ReloadOutcome outcome;
  outcome.ok = true;
  outcome.generation = 8;
  outcome.duration_s = 0.25;
  return outcome;
}

inline ReloadOutcome make_refused() {
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
  [[nodiscard]] std::expected<Explanation, std::string> explain(
      const ExplainQuestion& question) const override {
    if (question.url.empty()) return std::unexpected("url: none");
    Explanation said;
    said.host = question.url;
    said.outcome = "forward";
    return said;
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
  [[nodiscard]] std::expected<MemberView, std::string> order(const MemberWish& wish) override {
    if (wish.pool != "api" || wish.member != "127.0.0.1:9001") return std::unexpected("no member");
    wishes.push_back(wish);
    MemberView member = pools()[0].members[0];
    if (wish.weight != 0) member.weight = wish.weight;
    return member;
  }
  void await_drained(const std::string&, const std::string&, DrainWaiter& waiter) override {
    drain_waiter = &waiter;
    if (drain_begun) std::exchange(drain_begun, nullptr)->set_value();
  }
  void withdraw(DrainWaiter& waiter) override {
    if (drain_waiter == &waiter) drain_waiter = nullptr;
    if (drain_withdrawn) std::exchange(drain_withdrawn, nullptr)->set_value();
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
  std::vector<MemberWish> wishes;
  DrainWaiter* drain_waiter = nullptr;
  std::promise<void>* drain_begun = nullptr;
  std::promise<void>* drain_withdrawn = nullptr;

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

inline std::string body_of(const std::string& answer) {
  const std::size_t head = answer.find("\r\n\r\n");
  return head == std::string::npos ? std::string() : answer.substr(head + 4);
}

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() : source_(loop_), admin_(std::make_unique<Admin>(loop_, source_)) {
    std::string why;
    EXPECT_TRUE(admin_->open(config("127.0.0.1", 0), inherited_, why)) << why;
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
  supervisor::InheritedSockets inherited_;  // none
  std::unique_ptr<Admin> admin_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace portunus::proxy
