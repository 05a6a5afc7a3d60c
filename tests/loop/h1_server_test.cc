// H1Server: connections that are kept, pipelining, and how answers are framed.
#include "tests/loop/h1_server_fixture.h"

namespace portunus::http {
namespace {

// ---- keep-alive and pipelining ----

TEST_F(H1ServerTest, AnswersAndKeepsTheConnection) {
  auto peer = connect();
  for (int i = 0; i < 3; ++i) {
    const std::string answer = talk(*peer, kGet);
    EXPECT_TRUE(starts_with(answer, "HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find("content-length: 7\r\n"), std::string::npos) << answer;
    EXPECT_EQ(answer.find("connection:"), std::string::npos) << answer;
    EXPECT_EQ(body_of(answer), "GET /a|");
    // Idle: no message, no buffer.
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }
  EXPECT_EQ(handlers_.size(), 3U);
  EXPECT_EQ(handlers_[1]->events, "head GET /a; end; ");
}

TEST_F(H1ServerTest, SaysCloseAndCloses) {
  struct Row {
    const char* request;
    const char* connection;
    bool stays;
  };
  const Row rows[] = {
      {"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "connection: close\r\n", false},
      {"GET / HTTP/1.0\r\nhost: x\r\n\r\n", "connection: close\r\n", false},
      {"GET / HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n", "connection: keep-alive\r\n",
       true},
  };
  for (const Row& row : rows) {
    auto peer = connect();
    const std::string answer = talk(*peer, row.request);
    EXPECT_TRUE(starts_with(answer, "HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find(row.connection), std::string::npos) << answer;
    EXPECT_EQ(peer->has_end, !row.stays) << row.request;
    EXPECT_FALSE(peer->was_reset);
  }
}

TEST_F(H1ServerTest, ClosesAfterTheLastAllowedRequest) {
  context_.requests_max = 2;
  auto peer = connect();
  EXPECT_EQ(talk(*peer, kGet).find("connection: close"), std::string::npos);
  EXPECT_NE(talk(*peer, kGet).find("connection: close"), std::string::npos);
  EXPECT_TRUE(peer->has_end);
}

// Two requests of which the first has a body: however they are cut, the same two messages.
TEST_F(H1ServerTest, PipelinedRequestsSplitAtEveryByte) {
  const std::string two =
      "POST /one HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: "
      "u\r\n\r\n"
      "GET /two?q HTTP/1.1\r\nhost: x\r\n\r\n";
  for (std::size_t cut = 1; cut < two.size(); ++cut) {
    handlers_.clear();
    auto peer = connect();
    peer->send(two.substr(0, cut));
    driver_.settle();
    const std::string answer = peer->take() + talk(*peer, two.substr(cut));
    ASSERT_EQ(handlers_.size(), 2U) << "cut at " << cut;
    ASSERT_EQ(handlers_[0]->events, "head POST /one; body abc; trailers t=u; end; ") << cut;
    ASSERT_EQ(handlers_[1]->events, "head GET /two?q; end; ") << cut;
    const std::size_t first = answer.find("POST /one|abc");
    ASSERT_NE(first, std::string::npos) << cut;
    ASSERT_GT(answer.find("GET /two?q|"), first) << cut;
    ASSERT_FALSE(peer->is_over());
    peer.reset();
    driver_.settle();
  }
}

TEST_F(H1ServerTest, ByteByByte) {
  auto peer = connect();
  const std::string request = "PUT /b HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nwxyz";
  std::string answer;
  for (const char byte : request)
    answer += talk(*peer, {&byte, 1});
  EXPECT_EQ(body_of(answer), "PUT /b|wxyz");
  EXPECT_EQ(last().events, "head PUT /b; body wxyz; end; ");
}

// While the first waits for its answer the second is not looked at; then they are answered in order.
TEST_F(H1ServerTest, PipelinedRequestsWaitForTheirTurn) {
  at_end_ = nullptr;
  auto peer = connect();
  EXPECT_EQ(talk(*peer,
                 "GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n"
                 "GET /3 HTTP/1.1\r\nhost: x\r\n\r\n"),
            "");
  for (std::size_t i = 1; i <= 3; ++i) {
    ASSERT_EQ(handlers_.size(), i);
    EXPECT_EQ(last().events, "head GET /" + std::to_string(i) + "; end; ");
    driver_.turn([&] { test::answer(*last().stream, driver_.loop.chunks(), 200, "x"); });
    driver_.settle();
  }
  EXPECT_EQ(count_of(peer->take(), "HTTP/1.1 200 OK"), 3U);
  EXPECT_EQ(handlers_.size(), 3U);
}

TEST_F(H1ServerTest, APipelinedFloodIsAnsweredInFull) {
  auto peer = connect();
  std::string flood;
  for (int i = 0; i < 20'000; ++i)
    flood += kGet;
  peer->send(flood);
  context_.requests_max = 100'000;
  ASSERT_TRUE(driver_.run_until([&] { return handlers_.size() == 20'000; }, 20'000));
  driver_.settle();
  EXPECT_EQ(count_of(peer->take(), "HTTP/1.1 200 OK"), 20'000U);
}

// ---- framing of answers ----

TEST_F(H1ServerTest, AnswersWithoutABody) {
  struct Row {
    const char* method;
    std::uint16_t status;
    const char* length;  // nullptr: must not be there
  };
  const Row rows[] = {{"HEAD", 200, "content-length: 5\r\n"},
                      {"GET", 204, nullptr},
                      {"GET", 304, "content-length: 5\r\n"},
                      {"HEAD", 404, "content-length: 5\r\n"}};
  for (const Row& row : rows) {
    at_end_ = [&](RecorderHandler& handler) {
      send_head(handler, row.status, BodyKind::length, 5, false);
      send_body(handler, "hello", true);  // must not appear
    };
    auto peer = connect();
    const std::string request = std::string(row.method) + " / HTTP/1.1\r\nhost: x\r\n\r\n";
    const std::string answer = talk(*peer, request);
    EXPECT_EQ(body_of(answer), "") << row.method << row.status;
    EXPECT_EQ(answer.find("transfer-encoding"), std::string::npos) << answer;
    if (row.length == nullptr) {
      EXPECT_EQ(answer.find("content-length"), std::string::npos) << answer;
    } else {
      EXPECT_NE(answer.find(row.length), std::string::npos) << answer;
    }
    EXPECT_FALSE(peer->is_over());
    EXPECT_TRUE(starts_with(talk(*peer, request), "HTTP/1.1 "));  // the framing holds
  }
}

TEST_F(H1ServerTest, AnswersOfUnknownLength) {
  at_end_ = [&](RecorderHandler& handler) {
    send_head(handler, 200, BodyKind::unknown);
    send_body(handler, "hello", false);
    send_body(handler, "", false);
    send_body(handler, " you", true);
  };
  auto peer = connect();
  std::string answer = talk(*peer, kGet);
  EXPECT_NE(answer.find("transfer-encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(body_of(answer), "5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n");
  EXPECT_FALSE(peer->is_over());
  // HTTP/1.0 knows no chunks: the close is the end.
  auto old = connect();
  answer = talk(*old, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
  EXPECT_EQ(answer.find("transfer-encoding"), std::string::npos);
  EXPECT_NE(answer.find("connection: close"), std::string::npos);
  EXPECT_EQ(body_of(answer), "hello you");
  EXPECT_TRUE(old->has_end);
}

TEST_F(H1ServerTest, SendsTrailersWhereTheyFit) {
  bool chunked = true;
  at_end_ = [&](RecorderHandler& handler) {
    send_head(handler, 200, chunked ? BodyKind::unknown : BodyKind::length, 2);
    send_body(handler, "ab", false);
    HeaderBlock trailers;
    trailers.add("x-sum", "1");
    handler.stream->send_trailers(trailers);
  };
  auto peer = connect();
  EXPECT_EQ(body_of(talk(*peer, kGet)), "2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n");
  chunked = false;
  EXPECT_EQ(body_of(talk(*peer, kGet)), "ab");
}

TEST_F(H1ServerTest, InterimHeadsComeBeforeTheAnswerButNotToHttp10) {
  at_end_ = [&](RecorderHandler& handler) {
    send_head(handler, 103, BodyKind::none);
    send_head(handler, 100, BodyKind::none);
    send_head(handler, 200, BodyKind::length, 0, true);
  };
  auto peer = connect();
  const std::string answer = talk(*peer, kGet);
  EXPECT_TRUE(starts_with(answer, "HTTP/1.1 103 Early Hints\r\n")) << answer;
  EXPECT_NE(answer.find("\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
            std::string::npos)
      << answer;
  EXPECT_EQ(answer.substr(0, answer.find("HTTP/1.1 200")).find("content-length"),
            std::string::npos);
  auto old = connect();
  EXPECT_TRUE(starts_with(talk(*old, "GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK"));
}

TEST_F(H1ServerTest, AnAnswerShorterThanAnnouncedEndsTheConnection) {
  at_end_ = [&](RecorderHandler& handler) {
    send_head(handler, 200, BodyKind::length, 10);
    send_body(handler, "abc", true);
  };
  auto peer = connect();
  EXPECT_EQ(body_of(talk(*peer, kGet)), "abc");
  EXPECT_TRUE(peer->is_over());
}

TEST_F(H1ServerTest, MoreThanAnnouncedNeverLeaves) {
  at_end_ = [&](RecorderHandler& handler) {
    send_head(handler, 200, BodyKind::length, 3);
    send_body(handler, "abcHTTP/1.1 200 OK\r\n\r\n", true);
  };
  auto peer = connect();
  EXPECT_EQ(body_of(talk(*peer, kGet)), "abc");
  EXPECT_FALSE(peer->is_over());
}

TEST_F(H1ServerTest, ResetInTheMiddleOfAnAnswerIsVisible) {
  const auto peer = reset_in_the_answer_to(kGet);
  EXPECT_TRUE(peer->is_over());
  EXPECT_TRUE(peer->in.ends_with("3\r\nabc\r\n")) << peer->in;
}

// Where only the end of the connection ends the answer, an end without a reset would make it whole.
TEST_F(H1ServerTest, ResetOfAnAnswerWithoutFramingIsAReset) {
  const auto peer = reset_in_the_answer_to("GET /a HTTP/1.0\r\nhost: x\r\n\r\n");
  EXPECT_TRUE(peer->was_reset);
}

}  // namespace
}  // namespace portunus::http
