#include "http/h1_client.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Retry;
using test::LoopDriver;
using test::Peer;
using test::PeerListener;
using test::RecorderHandler;

// One connection to a member that the test plays.
class H1ClientTest : public testing::Test, public H1ClientOwner {
 protected:
  ~H1ClientTest() override {
    if (client_ != nullptr) driver_.turn([&] { client_->close(); });
    EXPECT_TRUE(driver_.run_until([&] { return client_ == nullptr; }));
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }
  void on_client_connected(H1Client& client, base::Error failure) override {
    ++connected_;
    connect_failure_ = failure;
    if (failure.is_error()) client.close();
  }
  void on_client_stale(H1Client& client) override {
    ++stale_;
    client.close();
  }
  void on_client_gone(H1Client& client) override {
    clients_.destroy(&client);
    client_ = nullptr;
  }

  void dial(std::uint64_t timeout_ms = 2'000) {
    driver_.turn([&] {
      client_ = clients_.make(context_, *this);
      client_->connect(net::Address::parse_ip("127.0.0.1", member_.port()).value(), timeout_ms);
      EXPECT_EQ(connected_, 0);
    });
  }
  void connect() {
    member_.listen();
    dial();
    ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1 && !member_.peers.empty(); }));
    ASSERT_FALSE(connect_failure_.is_error()) << connect_failure_.detail;
  }
  // Begins an exchange and sends its head.
  void begin(Method method = Method::get,
             BodyKind kind = BodyKind::none,
             std::uint64_t length = 0,
             bool upgrade = false) {
    handler_ = std::make_unique<RecorderHandler>();
    driver_.turn([&] {
      client_->begin(*handler_);
      send_head(method, kind, length, upgrade);
    });
    driver_.settle();
  }
  void send_head(Method method, BodyKind kind, std::uint64_t length, bool upgrade) {
    Head head;
    head.clear();
    head.method = method;
    head.method_text = name_of(method);
    head.path = "/p";
    head.body = kind;
    head.content_length = length;
    head.fields.add(HeaderId::host, "x");
    if (upgrade) {
      head.upgrade = true;
      head.upgrade_token = "websocket";
      head.fields.add(HeaderId::upgrade, "websocket");
    }
    client_->send_head(head, kind == BodyKind::none || (kind == BodyKind::unknown && length == 1));
  }
  void send_body(std::string_view bytes, bool end) {
    driver_.turn([&] { client_->send_body({bytes.data(), bytes.size()}, end); });
    driver_.settle();
  }
  Peer& peer() { return *member_.peers.front(); }
  void member_says(std::string_view bytes) {
    peer().send(bytes);
    driver_.settle();
  }
  bool end_exchange(std::uint64_t idle_ms = 60'000) {
    bool keeps = false;
    driver_.turn([&] {
      keeps = client_->end_exchange(idle_ms);
      if (!keeps) client_->close();
    });
    driver_.settle();
    return keeps;
  }

  LoopDriver driver_;
  PeerListener member_{driver_};
  base::Slab<Inbound> inbounds_;
  base::Slab<H1Client> clients_;
  H1ClientContext context_{driver_.loop, inbounds_, {}};
  H1Client* client_ = nullptr;
  std::unique_ptr<RecorderHandler> handler_;
  int connected_ = 0;
  int stale_ = 0;
  base::Error connect_failure_;
};

constexpr const char* kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

// ---- connecting ----

TEST_F(H1ClientTest, AMemberThatRefuses) {
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1; }));
  EXPECT_EQ(connect_failure_.reason, EndReason::upstream_connect);
  EXPECT_EQ(connect_failure_.side, base::Side::upstream);
  EXPECT_EQ(connect_failure_.retry, Retry::unsent);
}

TEST_F(H1ClientTest, AConnectThatNeverEnds) {
  // A queue that is full: the kernel drops what else would connect.
  const int descriptor = member_.listen().descriptor();
  ASSERT_EQ(::listen(descriptor, 0), 0);
  driver_.remove(member_);
  const auto first = Peer::connect_to(driver_, member_.port());
  dial(100);
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1; }, 2'000));
  EXPECT_EQ(connect_failure_.reason, EndReason::upstream_connect);
  EXPECT_EQ(connect_failure_.retry, Retry::unsent);
  driver_.add(member_);
}

// ---- requests on the wire ----

TEST_F(H1ClientTest, KeepsTheConnection) {
  connect();
  for (int i = 0; i < 3; ++i) {
    begin();
    EXPECT_EQ(peer().take(), "GET /p HTTP/1.1\r\nhost: x\r\n\r\n");
    member_says(kOk);
    EXPECT_EQ(handler_->events, "head 200; body ok; end; ");
    EXPECT_TRUE(end_exchange());
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
    EXPECT_EQ(client_->was_used(), i > 0);
  }
}

TEST_F(H1ClientTest, FramesRequestBodies) {
  connect();
  begin(Method::post, BodyKind::length, 5);
  send_body("abc", false);
  send_body("defgh", true);  // not more than announced
  EXPECT_EQ(peer().take(), "POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabcde");
  member_says(kOk);
  ASSERT_TRUE(end_exchange());
  begin(Method::put, BodyKind::unknown);
  send_body("abc", false);
  send_body("", false);
  send_body("", true);
  EXPECT_EQ(
      peer().take(),
      "PUT /p HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  member_says(kOk);
  ASSERT_TRUE(end_exchange());
  begin(Method::post);
  EXPECT_EQ(peer().take(), "POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
  member_says(kOk);
  ASSERT_TRUE(end_exchange());
}

// A chunked body that turned out to be empty before the head was sent still needs its last chunk.
TEST_F(H1ClientTest, AnEmptyBodyOfUnknownLengthIsEnded) {
  connect();
  begin(Method::put, BodyKind::unknown, 1);
  EXPECT_EQ(peer().take(),
            "PUT /p HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
  member_says(kOk);
  EXPECT_TRUE(end_exchange());
}

TEST_F(H1ClientTest, SendsTrailers) {
  connect();
  begin(Method::put, BodyKind::unknown);
  driver_.turn([&] {
    HeaderBlock trailers;
    trailers.add("x-sum", "1");
    client_->send_trailers(trailers);
  });
  driver_.settle();
  EXPECT_EQ(peer().take(),
            "PUT /p HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
            "x-sum: 1\r\n\r\n");
}

TEST_F(H1ClientTest, ARequestThatWasCutShortIsTheConnectionsLast) {
  connect();
  begin(Method::post, BodyKind::length, 5);
  send_body("abc", true);
  member_says(kOk);
  EXPECT_TRUE(handler_->has_end);
  EXPECT_FALSE(end_exchange());
}

TEST_F(H1ClientTest, AnAnswerBeforeTheWholeRequest) {
  connect();
  begin(Method::post, BodyKind::length, 5);
  send_body("abc", false);
  member_says("HTTP/1.1 413 Too Much\r\ncontent-length: 0\r\n\r\n");
  EXPECT_EQ(handler_->events, "head 413; end; ");
  EXPECT_FALSE(end_exchange());
}

// ---- answers ----

// Whole, byte by byte, and cut in two at every place: the same events.
TEST_F(H1ClientTest, AnswersHoweverTheyAreCut) {
  struct Row {
    Method method;
    const char* answer;
    const char* events;
    bool is_kept;
  };
  const Row rows[] = {
      {Method::get, kOk, "head 200; body ok; end; ", true},
      {Method::get,
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n",
       "head 200; body ok; trailers x-t=1; end; ", true},
      {Method::head, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "head 200; end; ", true},
      {Method::get, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "head 304; end; ",
       true},
      {Method::get, "HTTP/1.1 204 No Content\r\n\r\n", "head 204; end; ", true},
      {Method::get,
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
       "head 100; head 103; head 200; body ok; end; ", true},
      {Method::get, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
       "head 200; body ok; end; ", false},
      {Method::get, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "head 200; body ok; end; ",
       false},
  };
  for (const Row& row : rows) {
    const std::string answer = row.answer;
    for (std::size_t cut = 0; cut < answer.size(); ++cut) {
      if (client_ == nullptr) {
        member_.peers.clear();
        connected_ = 0;
        connect();
      }
      begin(row.method);
      if (cut == 0) {
        for (const char byte : answer)
          member_says({&byte, 1});
      } else {
        member_says(answer.substr(0, cut));
        member_says(answer.substr(cut));
      }
      ASSERT_EQ(handler_->events, row.events) << answer << " cut at " << cut;
      ASSERT_EQ(end_exchange(), row.is_kept) << answer << " cut at " << cut;
    }
  }
}

TEST_F(H1ClientTest, AnAnswerThatLastsUntilTheClose) {
  connect();
  begin();
  member_says("HTTP/1.1 200 OK\r\n\r\nhello");
  EXPECT_FALSE(handler_->has_end);
  member_says(" you");
  peer().end_writing();
  driver_.settle();
  EXPECT_EQ(handler_->events, "head 200; body hello you; end; ");
  EXPECT_FALSE(end_exchange());
}

TEST_F(H1ClientTest, BytesBehindTheAnswerAreNeverTheNextOne) {
  connect();
  begin();
  member_says(std::string(kOk) + kOk);
  EXPECT_EQ(handler_->events, "head 200; body ok; end; ");
  EXPECT_FALSE(end_exchange());
}

// Also when they come a moment later.
TEST_F(H1ClientTest, BytesOnAnIdleConnectionEndIt) {
  connect();
  begin();
  member_says(kOk);
  ASSERT_TRUE(end_exchange());
  member_says("HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(stale_, 1);
  EXPECT_EQ(client_, nullptr);
}

TEST_F(H1ClientTest, AnAnswerBeforeTheRequest) {
  connect();
  handler_ = std::make_unique<RecorderHandler>();
  driver_.turn([&] { client_->begin(*handler_); });
  member_says(kOk);
  EXPECT_EQ(handler_->events, "reset upstream_protocol; ");
  EXPECT_FALSE(end_exchange());
}

TEST_F(H1ClientTest, BrokenAnswersAreTheMembersFault) {
  const char* answers[] = {
      "SSH-2.0-OpenSSH_9.2\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nXX\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
  };
  for (const char* answer : answers) {
    member_.peers.clear();
    connected_ = 0;
    connect();
    begin();
    member_says(answer);
    ASSERT_TRUE(handler_->is_reset) << answer;
    EXPECT_EQ(handler_->error.reason, EndReason::upstream_protocol) << answer;
    EXPECT_EQ(handler_->error.side, base::Side::upstream);
    EXPECT_EQ(handler_->error.retry, Retry::no);
    EXPECT_FALSE(end_exchange());
  }
}

TEST_F(H1ClientTest, AFloodOfInterimHeads) {
  connect();
  begin();
  std::string flood;
  for (int i = 0; i < 1'000; ++i)
    flood += "HTTP/1.1 103 Early Hints\r\n\r\n";
  member_says(flood + kOk);
  ASSERT_TRUE(handler_->is_reset) << handler_->events;
  EXPECT_EQ(handler_->error.reason, EndReason::upstream_protocol);
  EXPECT_EQ(handler_->status, 0);
  EXPECT_FALSE(end_exchange());
}

// ---- the member goes away ----

TEST_F(H1ClientTest, AMemberThatClosesInEachPhase) {
  struct Row {
    const char* what;
    const char* before;  // what it says before
    bool by_reset;
    Retry retry;
    const char* events;
  };
  const Row rows[] = {
      {"silent, FIN", "", false, Retry::idempotent, "reset upstream_reset; "},
      {"silent, RST", "", true, Retry::idempotent, "reset upstream_reset; "},
      {"in the head", "HTTP/1.1 200 OK\r\ncont", false, Retry::no, "reset upstream_reset; "},
      {"in the head, RST", "HTTP/1.1 200 OK\r\ncont", true, Retry::no, "reset upstream_reset; "},
      {"after an interim head", "HTTP/1.1 103 Early\r\n\r\n", false, Retry::no,
       "head 103; reset upstream_reset; "},
      {"length, short", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", false, Retry::no,
       "head 200; body ab; reset upstream_reset; "},
      {"length, short, RST", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", true, Retry::no,
       "head 200; body ab; reset upstream_reset; "},
      {"chunked, no last chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
       false, Retry::no, "head 200; body ab; reset upstream_reset; "},
      {"until close, RST", "HTTP/1.1 200 OK\r\n\r\nab", true, Retry::no,
       "head 200; body ab; reset upstream_reset; "},
  };
  for (const Row& row : rows) {
    member_.peers.clear();
    connected_ = 0;
    connect();
    begin();
    peer().take();
    member_says(row.before);
    if (row.by_reset) {
      peer().reset();
    } else {
      peer().end_writing();
    }
    driver_.settle();
    EXPECT_EQ(handler_->events, row.events) << row.what;
    EXPECT_EQ(handler_->error.reason, EndReason::upstream_reset) << row.what;
    EXPECT_EQ(handler_->error.side, base::Side::upstream) << row.what;
    EXPECT_EQ(handler_->error.retry, row.retry) << row.what;
    EXPECT_FALSE(end_exchange()) << row.what;
  }
}

TEST_F(H1ClientTest, AMemberThatClosesBeforeTheRequest) {
  connect();
  handler_ = std::make_unique<RecorderHandler>();
  driver_.turn([&] { client_->begin(*handler_); });
  peer().end_writing();
  driver_.settle();
  EXPECT_EQ(handler_->events, "reset upstream_reset; ");
  EXPECT_EQ(handler_->error.retry, Retry::unsent);
  EXPECT_FALSE(end_exchange());
}

// It answers and hangs up while the body is still on its way: the answer counts.
TEST_F(H1ClientTest, AnAnswerBehindWhichTheMemberResets) {
  connect();
  begin(Method::post, BodyKind::length, 8'000'000);
  peer().reads = false;
  send_body(std::string(7'000'000, 'b'), false);
  EXPECT_GT(client_->unsent(), 0U);
  member_says("HTTP/1.1 413 Too Much\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno");
  EXPECT_EQ(handler_->events, "head 413; body no; end; ");
  peer().reset();
  driver_.settle();
  EXPECT_EQ(handler_->events, "head 413; body no; end; ");
  EXPECT_FALSE(end_exchange());
}

// ---- idle connections ----

TEST_F(H1ClientTest, AMemberThatClosesAnIdleConnection) {
  connect();
  begin();
  member_says(kOk);
  ASSERT_TRUE(end_exchange());
  driver_.turn([&] { EXPECT_FALSE(client_->looks_stale()); });
  peer().end_writing();
  driver_.deliver();
  driver_.turn([&] { EXPECT_TRUE(client_->looks_stale()); });
  driver_.settle();
  EXPECT_EQ(stale_, 1);
  EXPECT_EQ(client_, nullptr);
}

TEST_F(H1ClientTest, AnIdleConnectionHasItsTime) {
  connect();
  begin();
  member_says(kOk);
  ASSERT_TRUE(end_exchange(100));
  EXPECT_TRUE(driver_.run_until([&] { return stale_ == 1; }, 2'000));
}

TEST_F(H1ClientTest, WhatTheMemberAnnouncesShortensIt) {
  connect();
  begin();
  member_says("HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=9\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(end_exchange(60'000));
  EXPECT_TRUE(driver_.run_until([&] { return stale_ == 1; }, 2'000));
}

TEST_F(H1ClientTest, ResetEndsItForTheHandler) {
  connect();
  begin();
  member_says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na");
  driver_.turn([&] { client_->reset({}); });
  handler_->expects_silence = true;
  member_says("bcdefghi");
  EXPECT_FALSE(end_exchange());
}

// ---- back-pressure ----

TEST_F(H1ClientTest, APausedAnswerStaysInTheSocket) {
  connect();
  begin();
  handler_->at_body = [&](RecorderHandler&) {
    client_->set_reading(false);
  };
  member_says("HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n");
  peer().send(std::string(4'000'000, 'a'));
  driver_.settle();
  const std::size_t paused = handler_->body_bytes;
  EXPECT_LE(paused, net::Loop::kReadBuffer);
  EXPECT_GT(paused, 0U);
  handler_->at_body = nullptr;
  driver_.turn([&] { client_->set_reading(true); });
  EXPECT_TRUE(driver_.run_until([&] { return handler_->has_end; }));
  EXPECT_EQ(handler_->body_bytes, 4'000'000U);
  EXPECT_TRUE(end_exchange());
}

// ---- tunnels ----

TEST_F(H1ClientTest, ATunnelWithHalfClosesEitherWay) {
  for (const bool member_first : {true, false}) {
    member_.peers.clear();
    connected_ = 0;
    connect();
    begin(Method::get, BodyKind::none, 0, true);
    EXPECT_NE(peer().take().find("connection: upgrade\r\n"), std::string::npos);
    member_says(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi");
    EXPECT_EQ(handler_->events, "head 101; body hi; ");
    send_body("ping", false);
    EXPECT_EQ(peer().take(), "ping");
    if (member_first) {
      peer().send("bye");
      peer().end_writing();
      driver_.settle();
      EXPECT_EQ(handler_->body, "hibye");
      EXPECT_TRUE(handler_->has_end);
      send_body("more", false);
      send_body("last", true);
      EXPECT_EQ(peer().take(), "morelast");
      EXPECT_TRUE(peer().has_end);
    } else {
      send_body("last", true);
      EXPECT_EQ(peer().take(), "last");
      EXPECT_TRUE(peer().has_end);
      member_says("more");
      EXPECT_EQ(handler_->body, "himore");
      EXPECT_FALSE(handler_->has_end);
      peer().end_writing();
      driver_.settle();
      EXPECT_TRUE(handler_->has_end);
    }
    EXPECT_FALSE(end_exchange());
  }
}

TEST_F(H1ClientTest, ATunnelThatTheMemberResets) {
  connect();
  begin(Method::get, BodyKind::none, 0, true);
  member_says(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  peer().reset();
  driver_.settle();
  EXPECT_EQ(handler_->events, "head 101; reset upstream_reset; ");
  EXPECT_FALSE(end_exchange());
}

// The last bytes of a tunnel are the member's, however slowly it reads.
TEST_F(H1ClientTest, TheEndOfATunnelCutsNothing) {
  connect();
  begin(Method::get, BodyKind::none, 0, true);
  member_says(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  peer().take();
  peer().end_writing();
  driver_.settle();
  peer().received = 0;
  peer().reads = false;
  send_body(std::string(7'000'000, 'b'), true);
  ASSERT_GT(client_->unsent(), 0U);
  driver_.turn([&] {
    EXPECT_FALSE(client_->end_exchange(1'000));
    EXPECT_TRUE(client_->close_when_sent());
  });
  peer().reads = true;
  EXPECT_TRUE(driver_.run_until([&] { return peer().is_over(); }));
  EXPECT_EQ(peer().received, 7'000'000U);
  EXPECT_FALSE(peer().was_reset);
}

}  // namespace
}  // namespace portunus::http
