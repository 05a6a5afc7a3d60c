// H1Server: early answers, refusals, and clients that go away.
#include "tests/loop/h1_server_fixture.h"

namespace portunus::http {
namespace {

// ---- early answers, refusals, lingering ----

TEST_F(H1ServerTest, AnEarlyAnswerArrivesWhileTheBodyIsStillSent) {
  at_head_ = [&](RecorderHandler& handler) {
    test::answer(*handler.stream, driver_.loop.chunks(), 413, "no");
    handler.expects_silence = true;
  };
  at_end_ = nullptr;
  auto peer = connect();
  peer->send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n");
  driver_.settle();
  peer->send(std::string(150'000, 'b'));
  driver_.settle();
  const std::string answer = peer->take();
  EXPECT_TRUE(starts_with(answer, "HTTP/1.1 413 ")) << answer;
  EXPECT_EQ(body_of(answer), "no");
  EXPECT_TRUE(peer->has_end);  // we have said all; the client may still be writing
  EXPECT_FALSE(peer->was_reset);
  EXPECT_EQ(handlers_.size(), 1U);
  // What is left of the body is no request.
  peer->send(std::string(50'000, 'b') + kGet);
  driver_.settle();
  EXPECT_EQ(handlers_.size(), 1U);
  EXPECT_EQ(peer->take(), "");
  peer->end_writing();
  driver_.settle();
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTest, LingeringHasABound) {
  at_head_ = [&](RecorderHandler& handler) {
    test::answer(*handler.stream, driver_.loop.chunks(), 413, "no");
  };
  at_end_ = nullptr;
  auto peer = connect();
  peer->send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
  for (int i = 0; i < 100 && (i == 0 || !open_.empty()); ++i) {
    peer->send(std::string(32'768, 'b'));
    driver_.settle();
  }
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTest, RefusedRequestsGetAnAnswerThatArrives) {
  struct Row {
    const char* request;
    const char* status;
    const char* refused;
  };
  const Row rows[] = {
      {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "rejected_host 400; "},
      {"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", "HTTP/1.1 400 ", "rejected_host 400; "},
      {"GET / HTTP/1.1\r\nhost : x\r\n\r\n", "HTTP/1.1 400 ", "rejected_header 400; "},
      {"GET / HTTP/3.7\r\nhost: x\r\n\r\n", "HTTP/1.1 505 ", "rejected_version 505; "},
      {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
       "HTTP/1.1 400 ", "rejected_framing 400; "},
      {"\x16\x03\x01\x02\x00\x01\x00\x01", "HTTP/1.1 400 ", "rejected_request_line 400; "},
  };
  for (const Row& row : rows) {
    refused_.clear();
    auto peer = connect();
    peer->send(row.request);
    peer->send(std::string(60'000, 'x'));  // unread bytes must not destroy the answer
    driver_.settle();
    const std::string answer = peer->take();
    EXPECT_TRUE(starts_with(answer, row.status)) << row.request << answer;
    EXPECT_NE(answer.find("connection: close\r\n"), std::string::npos) << answer;
    EXPECT_FALSE(peer->was_reset);
    EXPECT_TRUE(peer->has_end);
    EXPECT_EQ(refused_, row.refused) << row.request;
    EXPECT_TRUE(handlers_.empty());
  }
}

TEST_F(H1ServerTest, ABodyThatBreaksTheRulesResetsAndIsAnswered) {
  at_end_ = nullptr;
  auto peer = connect();
  const std::string answer =
      talk(*peer, "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabX");
  EXPECT_EQ(last().events, "head POST /; body ab; reset rejected_chunk; ");
  EXPECT_TRUE(starts_with(answer, "HTTP/1.1 400 ")) << answer;
  EXPECT_TRUE(peer->has_end);
}

TEST_F(H1ServerTest, BytesBehindAnUpgradeThatWasNotGrantedAreNoRequest) {
  auto peer = connect();
  const std::string answer =
      talk(*peer,
           std::string(
               "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n") +
               kGet);
  EXPECT_TRUE(starts_with(answer, "HTTP/1.1 200 OK")) << answer;
  EXPECT_EQ(handlers_.size(), 1U);
  EXPECT_TRUE(peer->has_end);
}

// ---- the client goes away ----

TEST_F(H1ServerTest, AHalfCloseAfterTheRequestStillGetsItsAnswer) {
  at_end_ = nullptr;
  auto peer = connect();
  peer->send(kGet);
  peer->end_writing();
  driver_.settle();
  EXPECT_EQ(last().events, "head GET /a; end; ");
  driver_.turn([&] { test::answer(*last().stream, driver_.loop.chunks(), 200, "late"); });
  driver_.settle();
  EXPECT_EQ(body_of(peer->take()), "late");
  EXPECT_TRUE(peer->has_end);
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTest, AHalfCloseBehindTwoPipelinedRequestsGetsBothAnswers) {
  at_end_ = nullptr;
  auto peer = connect();
  peer->send(std::string(kGet) + kGet);
  peer->end_writing();
  driver_.settle();
  for (std::size_t i = 1; i <= 2; ++i) {
    ASSERT_EQ(handlers_.size(), i);
    driver_.turn([&] { test::answer(*last().stream, driver_.loop.chunks(), 200, "late"); });
    driver_.settle();
  }
  EXPECT_EQ(count_of(peer->take(), "late"), 2U);
  EXPECT_TRUE(peer->has_end);
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTest, ACloseInTheMiddleOfARequest) {
  auto peer = connect();
  peer->send("GET / HTT");
  driver_.settle();
  peer.reset();
  driver_.settle();
  EXPECT_EQ(refused_, "client_closed 0; ");
  EXPECT_TRUE(open_.empty());
  auto other = connect();
  other->send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab");
  driver_.settle();
  other->end_writing();
  driver_.settle();
  EXPECT_EQ(last().events, "head POST /; body ab; reset client_closed; ");
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTest, AResetInTheMiddleOfAnAnswer) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, kGet);
  driver_.turn([&] {
    send_head(last(), 200, BodyKind::unknown);
    send_body(last(), "abc", false);
  });
  driver_.settle();
  peer->reset();
  driver_.settle();
  EXPECT_EQ(last().events, "head GET /a; end; reset client_closed; ");
  EXPECT_TRUE(open_.empty());
}

// The write meets the reset before the read does, and takes the socket's error with it: what the read
// then sees looks like a half-close.
TEST_F(H1ServerTest, AResetThatAWriteMeetsFirst) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, kGet);
  driver_.turn([&] { send_head(last(), 200, BodyKind::unknown); });
  driver_.settle();
  peer->reset();
  driver_.deliver();
  driver_.turn([&] { send_body(last(), "abc", false); });
  driver_.settle();
  EXPECT_EQ(last().events, "head GET /a; end; reset client_closed; ");
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTest, AClientThatIsGoneWhileItsFloodOfRequestsWaits) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, std::string(kGet) + kGet);
  peer->reset();
  driver_.settle();
  driver_.turn([&] { test::answer(*last().stream, driver_.loop.chunks(), 200, "x"); });
  driver_.settle();
  for (auto& handler : handlers_) {
    if (handler.get() == handlers_.front().get() || handler->is_reset) continue;
    driver_.turn([&] { test::answer(*handler->stream, driver_.loop.chunks(), 200, "x"); });
  }
  driver_.settle();
  EXPECT_TRUE(open_.empty());
}

}  // namespace
}  // namespace portunus::http
