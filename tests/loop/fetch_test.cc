#include "http/fetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "tests/support/scripted_member.h"

namespace portunus::http {
namespace {

using base::EndReason;
using test::Connection;
using test::HangingPort;
using test::ScriptedMember;

// What came of one fetch, copied out of its result.
struct Outcome final : FetchHandler {
  void on_fetch_done(const FetchResult& result) override {
    ++count;
    error = result.error;
    if (result.head != nullptr) {
      status = result.head->status;
      type = result.head->fields.value_of(HeaderId::content_type);
    }
    body = result.body;
    is_truncated = result.is_truncated;
    is_late = result.is_late;
    duration_ns = result.duration_ns;
    if (fetcher_to_close != nullptr) fetcher_to_close->close_all();
  }
  int count = 0;
  base::Error error;
  int status = 0;
  std::string type;
  std::string body;
  bool is_truncated = false;
  bool is_late = false;
  std::uint64_t duration_ns = 0;
  Fetcher* fetcher_to_close = nullptr;
};

class FetchTest : public testing::Test {
 protected:
  ~FetchTest() override {
    fetcher_.close_all();
    loop_.stop();
    loop_.run();
    EXPECT_EQ(fetcher_.open(), 0U);
  }

  FetchRequest request_to(std::uint16_t port) {
    FetchRequest request;
    request.address = net::Address::parse_ip("127.0.0.1", port).value();
    request.host = "app:80";
    request.target = "/health";
    return request;
  }
  Fetch& start(FetchRequest request, FetchHandler& handler) {
    const net::Loop::Turn turn(loop_);
    return fetcher_.start(std::move(request), handler);
  }
  // Turns of the loop until `done` or twenty seconds.
  template <typename Done>
  bool run_until(Done done, std::uint64_t limit_ms = 20'000) {
    const std::uint64_t end_ns = base::monotonic_ns() + limit_ms * 1'000'000;
    while (!done()) {
      if (base::monotonic_ns() > end_ns) return false;
      uv_run(loop_.uv(), UV_RUN_ONCE);
    }
    return true;
  }
  Outcome fetch(FetchRequest request) {
    Outcome outcome;
    start(std::move(request), outcome);
    EXPECT_EQ(outcome.count, 0);  // a command never tells at once
    EXPECT_TRUE(run_until([&] { return outcome.count > 0; }));
    return outcome;
  }
  Outcome fetch_from(ScriptedMember& member) { return fetch(request_to(member.port())); }
  Outcome fetch_answer(std::string answer) {
    ScriptedMember member(ScriptedMember::answer(std::move(answer)));
    return fetch_from(member);
  }

  net::Loop loop_;
  Fetcher fetcher_{loop_};
};

TEST_F(FetchTest, SendsARequestAndTakesTheAnswer) {
  ScriptedMember member([](Connection& connection) {
    connection.read_head();
    connection.send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello");
    connection.read_to_end();
  });
  FetchRequest wanted = request_to(member.port());
  wanted.target = "/health?deep=1";
  wanted.user_agent = "portunus-probe";
  wanted.fields = {{"x-test", "a"}};
  const Outcome outcome = fetch(wanted);
  EXPECT_FALSE(outcome.error.is_error()) << outcome.error.detail;
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.type, "text/plain");
  EXPECT_EQ(outcome.body, "hello");
  EXPECT_FALSE(outcome.is_truncated);
  EXPECT_GT(outcome.duration_ns, 0U);
  EXPECT_TRUE(run_until([&] { return fetcher_.open() == 0; }));
  const std::string request = member.heard();
  EXPECT_EQ(request.substr(0, request.find("\r\n")), "GET /health?deep=1 HTTP/1.1");
  for (const char* field : {"\r\nhost: app:80\r\n", "\r\nuser-agent: portunus-probe\r\n",
                            "\r\nx-test: a\r\n", "\r\nconnection: close\r\n"}) {
    EXPECT_NE(request.find(field), std::string::npos) << request;
  }
  EXPECT_EQ(request.find("content-length"), std::string::npos) << request;
}

TEST_F(FetchTest, SendsABody) {
  ScriptedMember member([](Connection& connection) {
    std::string received;
    while (!received.ends_with("done")) {
      const std::string more = connection.read_some();
      if (more.empty()) return;
      received += more;
    }
    connection.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
  });
  FetchRequest wanted = request_to(member.port());
  wanted.method = Method::post;
  wanted.body.assign(100'000, 'x');
  wanted.body += "done";
  EXPECT_EQ(fetch(wanted).status, 201);
  const std::string received = member.heard();
  EXPECT_TRUE(received.starts_with("POST /health HTTP/1.1\r\n"));
  EXPECT_NE(received.find("\r\ncontent-length: 100004\r\n"), std::string::npos);
}

TEST_F(FetchTest, EveryFraming) {
  EXPECT_EQ(fetch_answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n")
                .body,
            "abcde");
  EXPECT_EQ(fetch_answer("HTTP/1.0 200 OK\r\n\r\nuntil close").body, "until close");
  EXPECT_EQ(fetch_answer("HTTP/1.1 204 No Content\r\n\r\n").status, 204);
  EXPECT_EQ(fetch_answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").status, 200);
  const Outcome interim = fetch_answer(
      "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: "
      "2\r\n\r\nok");
  EXPECT_EQ(interim.status, 200);
  EXPECT_EQ(interim.body, "ok");
}

TEST_F(FetchTest, Refused) {
  ScriptedMember member([](Connection&) {});
  member.refuse();
  const Outcome outcome = fetch_from(member);
  EXPECT_EQ(outcome.error.reason, EndReason::upstream_connect);
  EXPECT_STREQ(outcome.error.detail, "connection refused");
  EXPECT_EQ(outcome.status, 0);
}

TEST_F(FetchTest, ConnectNeverEnds) {
  const HangingPort port;
  FetchRequest wanted = request_to(port.port());
  wanted.timeout_ms = 150;
  const Outcome outcome = fetch(wanted);
  EXPECT_EQ(outcome.error.reason, EndReason::upstream_connect);
  EXPECT_STREQ(outcome.error.detail, "connect timed out");
  // Only where the machine, and with it the loop, has not stood still.
  EXPECT_TRUE(!outcome.is_late || outcome.duration_ns > 400'000'000U);
}

TEST_F(FetchTest, NeverAnswers) {
  ScriptedMember member([](Connection& connection) { connection.read_to_end(); });
  FetchRequest wanted = request_to(member.port());
  wanted.timeout_ms = 1'500;  // so that a slow machine has connected before
  const Outcome outcome = fetch(wanted);
  EXPECT_EQ(outcome.error.reason, EndReason::upstream_timeout);
  EXPECT_STREQ(outcome.error.detail, "no answer in time");
  EXPECT_GE(outcome.duration_ns, 1'500'000'000U);
}

// Each byte comes in time; the whole does not.
TEST_F(FetchTest, DripsItsAnswer) {
  for (const bool in_body : {false, true}) {
    ScriptedMember member([in_body](Connection& connection) {
      connection.read_head();
      const std::string head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
      if (in_body) connection.send(head);
      for (std::size_t i = 0; i < 500; ++i) {
        if (!connection.send(in_body ? "x" : head.substr(i % head.size(), 1))) return;
        if (!connection.wait(50)) return;
      }
    });
    FetchRequest wanted = request_to(member.port());
    wanted.timeout_ms = 1'500;  // a slow machine has connected, and the head is there
    const Outcome outcome = fetch(wanted);
    EXPECT_EQ(outcome.error.reason, EndReason::upstream_timeout);
    EXPECT_EQ(outcome.status, in_body ? 200 : 0);
  }
}

TEST_F(FetchTest, ClosesEarly) {
  ScriptedMember silent([](Connection& connection) { connection.read_head(); });
  const Outcome nothing = fetch_from(silent);
  EXPECT_EQ(nothing.error.reason, EndReason::upstream_reset);
  EXPECT_EQ(nothing.error.retry, base::Retry::idempotent);
  ScriptedMember at_once([](Connection&) {});
  EXPECT_EQ(fetch_from(at_once).error.reason, EndReason::upstream_reset);
  const Outcome cut = fetch_answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
  EXPECT_EQ(cut.error.reason, EndReason::upstream_reset);
  EXPECT_EQ(cut.status, 200);
  EXPECT_EQ(cut.body, "abc");
  EXPECT_TRUE(fetch_answer("HTTP/1.1 200 OK\r\ncontent-le").error.is_error());
  EXPECT_TRUE(fetch_answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab")
                  .error.is_error());
}

TEST_F(FetchTest, Resets) {
  ScriptedMember member([](Connection& connection) {
    connection.read_head();
    connection.reset();
  });
  EXPECT_EQ(fetch_from(member).error.reason, EndReason::upstream_reset);
}

TEST_F(FetchTest, Garbage) {
  for (const char* answer :
       {"SSH-2.0-OpenSSH_9.2\r\n", "\r\n\r\n", "HTTP/1.1 99 Low\r\n\r\n", "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 101 Go\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n"}) {
    const Outcome outcome = fetch_answer(answer);
    EXPECT_TRUE(outcome.error.is_error()) << answer;
    EXPECT_EQ(outcome.count, 1) << answer;
  }
  const std::string huge_head = "HTTP/1.1 200 OK\r\nx: " + std::string(200'000, 'a') + "\r\n\r\n";
  EXPECT_EQ(fetch_answer(huge_head).error.reason, EndReason::upstream_protocol);
}

TEST_F(FetchTest, FloodOfInterimHeads) {
  std::string answer;
  for (int i = 0; i < 100; ++i)
    answer += "HTTP/1.1 102 Processing\r\n\r\n";
  const Outcome outcome = fetch_answer(answer + "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  EXPECT_EQ(outcome.error.reason, EndReason::upstream_protocol);
  EXPECT_EQ(outcome.status, 0);
}

TEST_F(FetchTest, EndlessBodyIsCut) {
  ScriptedMember member([](Connection& connection) {
    connection.read_head();
    connection.send("HTTP/1.1 200 OK\r\n\r\n");
    const std::string block(8'192, 'b');
    while (connection.send(block)) {
    }
  });
  FetchRequest wanted = request_to(member.port());
  wanted.body_max = 1'000;
  const Outcome outcome = fetch(wanted);
  EXPECT_FALSE(outcome.error.is_error());
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.body, std::string(1'000, 'b'));
  EXPECT_TRUE(outcome.is_truncated);
  EXPECT_TRUE(run_until([&] { return fetcher_.open() == 0; }));  // lingers within bounds
}

// With body_max 0 the head decides; the rest is read so that the member sees no reset.
TEST_F(FetchTest, TheHeadAlone) {
  std::atomic<bool> is_told = false;
  std::atomic<bool> was_sent = false;
  ScriptedMember member([&is_told, &was_sent](Connection& connection) {
    connection.read_head();
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc");
    while (!is_told)
      if (!connection.wait(10)) return;
    was_sent = connection.send("def") && connection.read_to_end().empty();
  });
  FetchRequest wanted = request_to(member.port());
  wanted.body_max = 0;
  const Outcome outcome = fetch(wanted);  // before the rest has been sent
  is_told = true;
  EXPECT_FALSE(outcome.error.is_error());
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.body, "");
  EXPECT_TRUE(outcome.is_truncated);
  EXPECT_TRUE(run_until([&] { return fetcher_.open() == 0 && was_sent; }));
}

TEST_F(FetchTest, LingeringEndsByItself) {
  ScriptedMember member([](Connection& connection) {
    connection.read_head();
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc");
    connection.read_to_end();
  });
  FetchRequest wanted = request_to(member.port());
  wanted.body_max = 0;
  EXPECT_EQ(fetch(wanted).status, 200);
  EXPECT_EQ(fetcher_.open(), 1U);
  EXPECT_TRUE(run_until([&] { return fetcher_.open() == 0; }));
}

TEST_F(FetchTest, CancelAtAnyMoment) {
  ScriptedMember member([](Connection& connection) {
    connection.read_head();
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc");
    connection.read_to_end();
  });
  for (int turns = 0; turns < 6; ++turns) {
    Outcome outcome;
    Fetch& running = start(request_to(member.port()), outcome);
    for (int i = 0; i < turns; ++i)
      uv_run(loop_.uv(), UV_RUN_ONCE);
    {
      const net::Loop::Turn turn(loop_);
      running.cancel();
    }
    EXPECT_TRUE(run_until([&] { return fetcher_.open() == 0; }));
    EXPECT_EQ(outcome.count, 0) << turns;
  }
}

TEST_F(FetchTest, CloseAllFromTheHandler) {
  ScriptedMember member(ScriptedMember::answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
  Outcome first;
  first.fetcher_to_close = &fetcher_;
  Outcome second;
  const HangingPort port;
  start(request_to(port.port()), second);
  start(request_to(member.port()), first);
  EXPECT_TRUE(run_until([&] { return first.count > 0 && fetcher_.open() == 0; }));
  EXPECT_EQ(second.count, 0);
}

TEST_F(FetchTest, ManyAtOnce) {
  ScriptedMember member(ScriptedMember::answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
  std::vector<std::unique_ptr<Outcome>> outcomes;
  for (int i = 0; i < 200; ++i) {
    outcomes.push_back(std::make_unique<Outcome>());
    start(request_to(member.port()), *outcomes.back());
  }
  EXPECT_TRUE(run_until([&] { return fetcher_.open() == 0; }));
  for (const auto& outcome : outcomes) {
    EXPECT_EQ(outcome->count, 1);
    EXPECT_EQ(outcome->body, "ok");
  }
}

// The answer lies in the socket, but the loop comes too late to see it before the deadline.
TEST_F(FetchTest, SaysWhenTheLoopStoodStill) {
  ScriptedMember member(ScriptedMember::answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
  FetchRequest wanted = request_to(member.port());
  wanted.timeout_ms = 100;
  Outcome outcome;
  start(wanted, outcome);
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  EXPECT_TRUE(run_until([&] { return outcome.count > 0; }));
  EXPECT_TRUE(outcome.error.is_error());
  EXPECT_TRUE(outcome.is_late);
}

}  // namespace
}  // namespace portunus::http
