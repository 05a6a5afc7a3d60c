// H1Client: members that go away, idle connections, back-pressure, tunnels.
#include "tests/loop/h1_client_fixture.h"

namespace portunus::http {
namespace {

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
      {"in the head", "HTTP/1.1 200 OK\r\ncont", false, Retry::idempotent,
       "reset upstream_reset; "},
      {"in the head, RST", "HTTP/1.1 200 OK\r\ncont", true, Retry::idempotent,
       "reset upstream_reset; "},
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
