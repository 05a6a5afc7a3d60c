#include "http/h1_server.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/loop_driver.h"
#include "tests/support/recorder.h"

namespace portunus::http {
namespace {

using base::EndReason;
using test::LoopDriver;
using test::Peer;
using test::RecorderHandler;

bool starts_with(const std::string& text, const std::string& begin) {
  return text.compare(0, begin.size(), begin) == 0;
}
std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
    ++count;
  return count;
}
std::string body_of(const std::string& message) {
  return message.substr(message.find("\r\n\r\n") + 4);
}

// A listener, its connections, and a handler made anew for each stream.
class H1ServerTest : public testing::Test,
                     public net::Acceptor,
                     public StreamAcceptor,
                     public H1ServerOwner {
 protected:
  H1ServerTest() {
    const auto here = net::Address::parse_ip("127.0.0.1", 0).value();
    const int descriptor = net::open_listening_socket(here, false).value();
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    EXPECT_TRUE(listener_.start(descriptor));
    // What a handler does unless a test says otherwise: echoes the target and the body.
    at_end_ = [this](RecorderHandler& handler) {
      test::answer(*handler.stream, driver_.loop.chunks(), 200,
                   test::head_text(*handler.last) + "|" + handler.body);
    };
  }
  ~H1ServerTest() override {
    driver_.turn([&] {
      listener_.close();
      for (H1Server* server : open_)
        server->shut_down({EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
    });
    EXPECT_TRUE(driver_.run_until([&] { return is_listener_closed_ && open_.empty(); }));
    EXPECT_EQ(inbounds_.live(), 0U);
    EXPECT_EQ(driver_.loop.chunks().in_use(), 0U);
  }

  void on_connection(net::Listener& listener) override {
    H1Server* server = servers_.make(context_);
    open_.push_back(server);
    listener.mark_taken();
    EXPECT_TRUE(server->accept(listener));
    EXPECT_TRUE(server->peer().is_set());
  }
  void on_listener_closed(net::Listener&) override { is_listener_closed_ = true; }
  StreamHandler* on_stream(Stream& stream, const net::Address&) override {
    handlers_.push_back(std::make_unique<RecorderHandler>());
    RecorderHandler& handler = *handlers_.back();
    handler.stream = &stream;
    handler.at_head = at_head_;
    handler.at_body = at_body_;
    handler.at_end = at_end_;
    return &handler;
  }
  void on_refused(const net::Address&,
                  const Head&,
                  base::Error why,
                  std::uint16_t status,
                  std::string_view /*request_id*/) override {
    refused_ += std::string(base::name_of(why.reason)) + " " + std::to_string(status) + "; ";
  }
  void on_server_gone(H1Server& server) override {
    std::erase(open_, &server);
    servers_.destroy(&server);
  }

  std::unique_ptr<Peer> connect(int receive_buffer = 0) {
    return Peer::connect_to(driver_, port_, receive_buffer);
  }
  // Sends and returns all that comes back once the connection is quiet.
  std::string talk(Peer& peer, std::string_view bytes) {
    peer.send(bytes);
    driver_.settle();
    return peer.take();
  }
  RecorderHandler& last() { return *handlers_.back(); }
  void send_head(RecorderHandler& handler,
                 std::uint16_t status,
                 BodyKind kind,
                 std::uint64_t length = 0,
                 bool end = false,
                 std::string_view upgrade = {}) {
    Head head;
    head.clear();
    head.status = status;
    head.body = kind;
    head.content_length = length;
    if (!upgrade.empty()) {
      head.upgrade = true;
      head.fields.add(HeaderId::upgrade, upgrade);
    }
    handler.stream->send_head(head, end);
  }
  void send_body(RecorderHandler& handler, std::string_view bytes, bool end) {
    handler.stream->send_body({bytes.data(), bytes.size()}, end);
  }

  LoopDriver driver_;
  base::Slab<Inbound> inbounds_;
  base::Slab<H1Server> servers_;
  H1ServerContext context_{driver_.loop, inbounds_, *this, *this, {}};
  net::Listener listener_{driver_.loop, *this, 0};
  std::uint16_t port_ = 0;
  bool is_listener_closed_ = false;
  std::vector<H1Server*> open_;
  std::vector<std::unique_ptr<RecorderHandler>> handlers_;
  std::string refused_;
  RecorderHandler::Do at_head_, at_body_, at_end_;
};

constexpr const char* kGet = "GET /a HTTP/1.1\r\nhost: x\r\n\r\n";

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

TEST_F(H1ServerTest, AnAnswerShorterThanAnnouncedIsAReset) {
  at_end_ = [&](RecorderHandler& handler) {
    send_head(handler, 200, BodyKind::length, 10);
    send_body(handler, "abc", true);
  };
  auto peer = connect();
  talk(*peer, kGet);
  EXPECT_TRUE(peer->was_reset);
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
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, kGet);
  driver_.turn([&] {
    send_head(last(), 200, BodyKind::unknown);
    send_body(last(), "abc", false);
  });
  driver_.settle();
  driver_.turn([&] { last().stream->reset({}); });
  last().expects_silence = true;
  driver_.settle();
  EXPECT_TRUE(peer->was_reset);
  EXPECT_EQ(peer->in.find("0\r\n\r\n"), std::string::npos);
}

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

// ---- back-pressure ----

TEST_F(H1ServerTest, UnsentGrowsUntilTheClientReadsAndThenDrains) {
  at_end_ = nullptr;
  auto peer = connect(4096);
  peer->reads = false;
  talk(*peer, kGet);
  std::size_t sent = 0;
  driver_.turn([&] { send_head(last(), 200, BodyKind::unknown); });
  const std::string slice(65'536, 's');
  while (last().stream->unsent() <= kUnsentHigh && sent < 64'000'000) {
    driver_.turn([&] { send_body(last(), slice, false); });
    sent += slice.size();
    driver_.step();
  }
  EXPECT_GT(last().stream->unsent(), kUnsentHigh);
  EXPECT_LE(last().stream->unsent(), kUnsentHigh + slice.size() + 64);
  EXPECT_EQ(last().drained, 0);
  peer->reads = true;
  EXPECT_TRUE(driver_.run_until([&] { return last().drained > 0; }));
  EXPECT_LE(last().stream->unsent(), kUnsentLow);
  driver_.turn([&] { send_body(last(), "", true); });
  EXPECT_TRUE(driver_.run_until([&] { return peer->received > sent; }));
  driver_.settle();
  EXPECT_FALSE(peer->is_over());
}

TEST_F(H1ServerTest, APausedBodyStaysInTheSocket) {
  at_body_ = [&](RecorderHandler& handler) {
    if (handler.body_bytes < 1'000'000) handler.stream->set_reading(false);
  };
  auto peer = connect();
  peer->send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6000000\r\n\r\n");
  driver_.settle();
  peer->send(std::string(6'000'000, 'b'));
  driver_.settle();
  const std::size_t paused = last().body_bytes;
  EXPECT_LE(paused, net::Loop::kReadBuffer);
  driver_.settle();
  EXPECT_EQ(last().body_bytes, paused);
  while (!last().has_end) {
    driver_.turn([&] { last().stream->set_reading(true); });
    driver_.settle();
  }
  EXPECT_EQ(last().body_bytes, 6'000'000U);
  EXPECT_TRUE(starts_with(peer->take(), "HTTP/1.1 200 OK"));
}

// What an answer has left behind in our queue is the client's, whatever it does with its own side.
TEST_F(H1ServerTest, AHalfCloseDoesNotCutAnAnswerThatIsStillOnItsWay) {
  for (const char* connection : {"keep-alive", "close"}) {
    at_end_ = [&](RecorderHandler& handler) {
      test::answer(*handler.stream, driver_.loop.chunks(), 200, std::string(8'000'000, 'a'));
    };
    auto peer = connect(4096);
    peer->reads = false;
    talk(*peer, std::string("GET / HTTP/1.1\r\nhost: x\r\nconnection: ") + connection + "\r\n\r\n");
    peer->end_writing();
    driver_.settle();
    peer->reads = true;
    EXPECT_TRUE(driver_.run_until([&] { return peer->is_over(); })) << connection;
    EXPECT_EQ(body_of(peer->take()).size(), 8'000'000U) << connection;
    EXPECT_TRUE(peer->has_end) << connection;
    driver_.settle();
    EXPECT_TRUE(open_.empty());
  }
}

TEST_F(H1ServerTest, TheKeepAliveTimeDoesNotCutAnAnswerThatIsStillOnItsWay) {
  context_.keep_alive_ms = 100;
  at_end_ = [&](RecorderHandler& handler) {
    test::answer(*handler.stream, driver_.loop.chunks(), 200, std::string(8'000'000, 'a'));
  };
  auto peer = connect(4096);
  peer->reads = false;
  talk(*peer, kGet);
  driver_.run_until([&] { return open_.empty(); }, 350);
  peer->reads = true;
  EXPECT_TRUE(driver_.run_until([&] { return peer->is_over(); }));
  EXPECT_EQ(body_of(peer->take()).size(), 8'000'000U);
}

// ---- tunnels ----

class H1ServerTunnelTest : public H1ServerTest {
 protected:
  std::unique_ptr<Peer> open_tunnel(std::string_view behind = {}) {
    at_end_ = [&](RecorderHandler& handler) {
      if (handler.last->upgrade) send_head(handler, 101, BodyKind::none, 0, false, "websocket");
    };
    auto peer = connect();
    const std::string answer = talk(
        *peer, "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" +
                   std::string(behind));
    EXPECT_TRUE(starts_with(answer, "HTTP/1.1 101 Switching Protocols\r\n")) << answer;
    EXPECT_NE(answer.find("connection: upgrade\r\n"), std::string::npos) << answer;
    // The message has ended, the tunnel has an end of its own.
    last().has_end = false;
    last().at_end = nullptr;
    return peer;
  }
};

TEST_F(H1ServerTunnelTest, CarriesBytesBothWays) {
  auto peer = open_tunnel();
  talk(*peer, "ping");
  EXPECT_EQ(last().body, "ping");
  driver_.turn([&] { send_body(last(), "pong", false); });
  driver_.settle();
  EXPECT_EQ(peer->take(), "pong");
}

TEST_F(H1ServerTunnelTest, TheClientMayEndFirst) {
  auto peer = open_tunnel();
  peer->send("bye");
  peer->end_writing();
  driver_.settle();
  EXPECT_EQ(last().body, "bye");
  EXPECT_TRUE(last().has_end);
  driver_.turn([&] { send_body(last(), "still here", false); });
  driver_.settle();
  EXPECT_EQ(peer->take(), "still here");
  EXPECT_FALSE(peer->has_end);
  driver_.turn([&] { send_body(last(), "bye", true); });
  last().expects_silence = true;
  driver_.settle();
  EXPECT_EQ(peer->take(), "bye");
  EXPECT_TRUE(peer->has_end);
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTunnelTest, WeMayEndFirst) {
  auto peer = open_tunnel();
  driver_.turn([&] { send_body(last(), "bye", true); });
  driver_.settle();
  EXPECT_EQ(peer->take(), "bye");
  EXPECT_TRUE(peer->has_end);
  talk(*peer, "still here");
  EXPECT_EQ(last().body, "still here");
  EXPECT_FALSE(last().has_end);
  peer->end_writing();
  driver_.settle();
  EXPECT_TRUE(last().has_end);
  EXPECT_TRUE(open_.empty());
}

TEST_F(H1ServerTunnelTest, BytesBehindTheRequestGoIntoTheTunnel) {
  auto peer = open_tunnel("early");
  EXPECT_EQ(last().body, "early");
  talk(*peer, " late");
  EXPECT_EQ(last().body, "early late");
}

// The client ends its side while nobody has answered yet: the tunnel begins half-closed.
TEST_F(H1ServerTunnelTest, AnEndBeforeTheTunnelIsTold) {
  for (const bool is_stashed : {false, true}) {
    at_end_ = nullptr;
    auto peer = connect();
    peer->send("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" +
               std::string(is_stashed ? "early" : ""));
    peer->end_writing();
    driver_.settle();
    last().has_end = false;
    driver_.turn([&] { send_head(last(), 101, BodyKind::none, 0, false, "websocket"); });
    driver_.settle();
    EXPECT_EQ(last().body, is_stashed ? "early" : "");
    EXPECT_TRUE(last().has_end);
    driver_.turn([&] { send_body(last(), "bye", true); });
    driver_.settle();
    EXPECT_TRUE(peer->take().ends_with("bye"));
    EXPECT_TRUE(peer->has_end);
    EXPECT_TRUE(open_.empty());
  }
}

TEST_F(H1ServerTunnelTest, AResetIsTold) {
  auto peer = open_tunnel();
  peer->reset();
  driver_.settle();
  EXPECT_TRUE(last().is_reset);
  EXPECT_EQ(last().error.reason, EndReason::client_closed);
  EXPECT_TRUE(open_.empty());
}

// ---- time ----

TEST_F(H1ServerTest, AHeadThatDoesNotComeInTime) {
  context_.headers_ms = 100;
  auto peer = connect();
  peer->send("GET / HTTP/1.1\r\nhos");
  ASSERT_TRUE(driver_.run_until([&] { return peer->has_end; }, 2'000));
  EXPECT_TRUE(starts_with(peer->take(), "HTTP/1.1 408 "));
  EXPECT_EQ(refused_, "client_timeout 408; ");
  auto silent = connect();  // not one byte: no answer either
  ASSERT_TRUE(driver_.run_until([&] { return silent->is_over(); }, 2'000));
  EXPECT_EQ(silent->take(), "");
}

// One byte now and then does not prolong a head's time.
TEST_F(H1ServerTest, AHeadThatDripsIsCut) {
  context_.headers_ms = 300;
  auto peer = connect();
  const std::uint64_t began = base::monotonic_ns();
  driver_.run_until(
      [&] {
        if (!peer->is_over()) peer->send("G");
        return peer->is_over();
      },
      3'000);
  EXPECT_TRUE(peer->is_over());
  EXPECT_LT(base::monotonic_ns() - began, 1'500'000'000U);
}

TEST_F(H1ServerTest, ABodyThatStops) {
  context_.body_ms = 100;
  at_end_ = nullptr;
  auto peer = connect();
  peer->send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab");
  ASSERT_TRUE(driver_.run_until([&] { return peer->has_end; }, 3'000));
  EXPECT_EQ(last().events, "head POST /; body ab; reset client_timeout; ");
  EXPECT_TRUE(starts_with(peer->take(), "HTTP/1.1 408 "));
}

TEST_F(H1ServerTest, ABodyThatIsPausedByUsHasTime) {
  context_.body_ms = 100;
  at_end_ = nullptr;
  at_head_ = [](RecorderHandler& handler) {
    handler.stream->set_reading(false);
  };
  auto peer = connect();
  peer->send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n");
  EXPECT_FALSE(driver_.run_until([&] { return peer->is_over(); }, 500));
  EXPECT_FALSE(last().is_reset);
}

TEST_F(H1ServerTest, AClientThatDoesNotRead) {
  context_.write_ms = 200;
  at_end_ = nullptr;
  auto peer = connect(4096);
  peer->reads = false;
  talk(*peer, kGet);
  driver_.turn([&] {
    send_head(last(), 200, BodyKind::unknown);
    send_body(last(), std::string(8'000'000, 'a'), false);
  });
  EXPECT_TRUE(driver_.run_until([&] { return last().is_reset; }, 3'000));
  EXPECT_EQ(last().error.reason, EndReason::client_timeout);
  EXPECT_TRUE(driver_.run_until([&] { return open_.empty(); }));
}

TEST_F(H1ServerTest, AnIdleConnectionIsClosed) {
  context_.keep_alive_ms = 100;
  auto peer = connect();
  talk(*peer, kGet);
  EXPECT_FALSE(peer->is_over());
  EXPECT_TRUE(driver_.run_until([&] { return peer->is_over(); }, 2'000));
  EXPECT_TRUE(peer->has_end);
  EXPECT_EQ(refused_, "");
}

// ---- the end of the listener ----

TEST_F(H1ServerTest, DrainClosesIdleConnectionsAndLetsRunningOnesEnd) {
  auto idle = connect();
  talk(*idle, kGet);
  auto fresh = connect();  // accepted, has not said a word yet
  at_end_ = nullptr;
  auto busy = connect();
  talk(*busy, kGet);
  RecorderHandler& running = last();
  context_.is_draining = true;
  driver_.turn([&] {
    const std::vector<H1Server*> open = open_;
    for (H1Server* server : open)
      server->drain();
  });
  driver_.settle();
  EXPECT_TRUE(idle->has_end);
  EXPECT_FALSE(fresh->is_over());
  EXPECT_FALSE(busy->is_over());
  driver_.turn([&] { test::answer(*running.stream, driver_.loop.chunks(), 200, "done"); });
  driver_.settle();
  const std::string answer = busy->take();
  EXPECT_NE(answer.find("connection: close\r\n"), std::string::npos) << answer;
  EXPECT_EQ(body_of(answer), "done");
  EXPECT_TRUE(busy->has_end);
  EXPECT_TRUE(driver_.run_until([&] { return fresh->is_over(); }, 3'000));
}

TEST_F(H1ServerTest, DrainDoesNotCutAnAnswerThatIsStillOnItsWay) {
  at_end_ = [&](RecorderHandler& handler) {
    test::answer(*handler.stream, driver_.loop.chunks(), 200, std::string(8'000'000, 'a'));
  };
  auto peer = connect(4096);
  peer->reads = false;
  talk(*peer, kGet);
  context_.is_draining = true;
  driver_.turn([&] { open_.front()->drain(); });
  driver_.settle();
  peer->reads = true;
  EXPECT_TRUE(driver_.run_until([&] { return peer->is_over(); }));
  EXPECT_EQ(body_of(peer->take()).size(), 8'000'000U);
}

TEST_F(H1ServerTest, ShutDownTellsTheExchange) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, kGet);
  driver_.turn([&] {
    open_.front()->shut_down({EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
  });
  driver_.settle();
  EXPECT_EQ(last().events, "head GET /a; end; reset shutdown; ");
  EXPECT_TRUE(peer->is_over());
}

}  // namespace
}  // namespace portunus::http
