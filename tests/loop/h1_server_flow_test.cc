// H1Server: back-pressure, tunnels, times, and the end of the listener.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/loop/h1_server_fixture.h"

namespace portunus::http {
namespace {

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

// It always moves, but never by as much as is asked for.
TEST_F(H1ServerTest, ABodyInDropsIsTooSlow) {
  context_.body_ms = 200;
  context_.body_least = 1'000'000;
  at_end_ = nullptr;
  auto peer = connect();
  peer->send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\nab");
  ASSERT_TRUE(driver_.run_until([&] {
    if (!peer->is_over()) peer->send("c");
    return peer->is_over();
  }));
  ASSERT_EQ(handlers_.size(), 1U);
  EXPECT_EQ(last().error.reason, EndReason::client_timeout);
}

// Once the answer has begun it may be a conversation. The second window of a second is the first one
// that could be judged.
TEST_F(H1ServerTest, ABodyInDropsMayGoOnWhileItIsAnswered) {
  context_.body_ms = 1000;
  context_.body_least = 1'000'000;
  at_end_ = nullptr;
  auto peer = connect();
  peer->send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n");
  ASSERT_TRUE(driver_.run_until([&] { return handlers_.size() == 1; }));
  driver_.turn([&] { send_head(last(), 200, BodyKind::unknown); });
  EXPECT_FALSE(driver_.run_until(
      [&] {
        if (!peer->is_over()) peer->send("c");
        return peer->is_over();
      },
      2'500));
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
  auto quick = connect();  // its next request is on the way
  talk(*quick, kGet);
  quick->take();
  auto fresh = connect();  // accepted, has not said a word yet
  at_end_ = nullptr;
  auto busy = connect();
  talk(*busy, kGet);
  RecorderHandler& running = last();
  context_.is_draining = true;
  driver_.turn([&] {
    const std::vector<ServerConnection*> open = open_;
    for (ServerConnection* server : open)
      server->drain();
  });
  driver_.settle();
  EXPECT_FALSE(fresh->is_over());
  EXPECT_FALSE(busy->is_over());
  driver_.turn([&] { test::answer(*running.stream, driver_.loop.chunks(), 200, "done"); });
  driver_.settle();
  const std::string answer = busy->take();
  EXPECT_NE(answer.find("connection: close\r\n"), std::string::npos) << answer;
  EXPECT_EQ(body_of(answer), "done");
  EXPECT_TRUE(busy->has_end);
  at_end_ = [&](RecorderHandler& handler) {
    test::answer(*handler.stream, driver_.loop.chunks(), 200, "last");
  };
  EXPECT_FALSE(quick->is_over());
  EXPECT_THAT(talk(*quick, kGet), ::testing::HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(quick->has_end);
  EXPECT_TRUE(driver_.run_until([&] { return idle->has_end; }, 2'000));
  EXPECT_TRUE(driver_.run_until([&] { return fresh->is_over(); }, 3'000));
}

TEST_F(H1ServerTest, DrainAnswersWhatHasComeAndWasNotReadYet) {
  auto quiet = connect();
  talk(*quiet, kGet);
  auto late = connect();
  talk(*late, kGet);
  late->take();
  context_.keep_alive_ms += 10'000;  // both were answered long ago
  context_.is_draining = true;
  late->send(kGet);
  driver_.turn([&] {
    const std::vector<ServerConnection*> open = open_;
    for (ServerConnection* server : open)
      server->drain();
  });
  driver_.settle();
  EXPECT_TRUE(quiet->has_end);
  EXPECT_THAT(late->take(), ::testing::HasSubstr("connection: close\r\n"));
  EXPECT_TRUE(late->has_end);
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
