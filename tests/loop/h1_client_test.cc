// H1Client: connecting, requests on the wire, and answers.
#include "tests/loop/h1_client_fixture.h"

namespace portunus::http {
namespace {

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

}  // namespace
}  // namespace portunus::http
