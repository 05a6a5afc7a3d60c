// Flow control both ways (RFC 9113 section 5.2): who is slow stops who is fast, and nobody else.
#include <nghttp2/nghttp2.h>

#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

std::string begin_post(std::uint32_t id) {
  return h2_headers(id, h2_request("POST", "/p"), false);
}
std::string body(std::uint32_t id, std::size_t size) {
  std::string out;
  while (size > 0) {
    const std::size_t count = std::min<std::size_t>(size, 16384);
    out += h2_data(id, std::string(count, 'b'), false);
    size -= count;
  }
  return out;
}

class H2Flow : public H2SessionTest {
 protected:
  H2Flow() { at_end_ = nullptr; }
  void set_reading(std::size_t handler, bool on) {
    driver_.turn([&] { handlers_[handler]->stream->set_reading(on); });
  }
};

TEST_F(H2Flow, AnswersKeepToTheWindowOfTheStream) {
  auto peer = connect(h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10}}));
  talk(*peer, h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  send_body(last(), std::string(25, 'x'), true);
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body.size(), 10U);
  EXPECT_EQ(last().stream->unsent(), 15U);
  talk(*peer, h2_window(1, 5));
  EXPECT_EQ(peer->stream(1).body.size(), 15U);
  // The window of streams that stand changes with the setting (6.9.2), below nothing too.
  talk(*peer, h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 5}}));
  talk(*peer, h2_window(1, 5));
  EXPECT_EQ(peer->stream(1).body.size(), 15U);
  talk(*peer, h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000}}));
  EXPECT_EQ(peer->stream(1).body.size(), 25U);
  EXPECT_TRUE(peer->stream(1).has_end);
}

TEST_F(H2Flow, AnswersKeepToTheWindowOfTheConnection) {
  auto peer = connect(h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}}));
  talk(*peer, h2_get(1) + h2_get(3));
  for (auto& handler : handlers_) {
    send_head(*handler, 200, BodyKind::unknown);
    send_body(*handler, std::string(50'000, 'x'), true);
  }
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body.size() + peer->stream(3).body.size(), 65'535U);
  talk(*peer, h2_window(0, 100'000));
  EXPECT_EQ(peer->stream(1).body.size() + peer->stream(3).body.size(), 100'000U);
}

TEST_F(H2Flow, FramesKeepToTheSizeThatIsAllowed) {
  auto peer = connect(h2_settings({{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1 << 20},
                                   {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}}));
  talk(*peer, h2_window(0, 1 << 20) + h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  send_body(last(), std::string(500'000, 'x'), true);
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body.size(), 500'000U);
  EXPECT_GE(peer->stream(1).data_frames, 500'000U / 16384);
}

TEST_F(H2Flow, DrainedIsToldOnceTheQueueIsLow) {
  auto peer = connect(h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}}));
  talk(*peer, h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  send_body(last(), std::string(kUnsentHigh + 1, 'x'), false);
  listen(*peer);
  EXPECT_EQ(last().stream->unsent(), kUnsentHigh + 1);
  EXPECT_EQ(last().drained, 0);
  talk(*peer, h2_window(1, kUnsentHigh - kUnsentLow));
  EXPECT_EQ(last().drained, 0);
  talk(*peer, h2_window(1, 1));
  EXPECT_EQ(last().drained, 1);
  talk(*peer, h2_window(1, 100) + h2_window(0, 100'000));
  EXPECT_EQ(last().drained, 1);
}

TEST_F(H2Flow, OneThatDoesNotReadStopsNoOtherStream) {
  auto peer = connect();
  talk(*peer, h2_get(1) + h2_get(3));
  send_head(*handlers_[0], 200, BodyKind::unknown);
  send_body(*handlers_[0], std::string(1 << 20, 'x'), false);
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body.size(), 65'535U);
  // The window of the connection is empty; more of it is for who has room.
  talk(*peer, h2_window(0, 1000));
  driver_.turn([&] { test::answer(*handlers_[1]->stream, driver_.loop.chunks(), 200, "other"); });
  listen(*peer);
  EXPECT_EQ(peer->stream(3).body, "other");
}

TEST_F(H2Flow, ASocketThatIsFullBoundsWhatIsKept) {
  auto peer = connect_raw(4096);
  peer->socket->reads = false;
  talk(*peer, std::string(test::kH2Preface) +
                  h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff}}) +
                  h2_window(0, 0x7fff0000) + h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  // The exchange goes on until it is told that there is enough.
  std::size_t sent = 0;
  const std::string piece(65536, 'x');
  last().at_drained = [](RecorderHandler&) {
  };
  while (last().stream->unsent() <= kUnsentHigh && sent < (64U << 20)) {
    send_body(last(), piece, false);
    sent += piece.size();
    driver_.settle();
  }
  EXPECT_GT(last().stream->unsent(), kUnsentHigh);
  EXPECT_LT(sent, 64U << 20);
  EXPECT_EQ(last().drained, 0);
  send_body(last(), {}, true);
  peer->socket->reads = true;
  ASSERT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    return peer->stream(1).has_end;
  }));
  EXPECT_EQ(peer->stream(1).body.size(), sent);
}

TEST_F(H2Flow, UploadsThatAreReadGetTheirWindowBack) {
  auto peer = connect();
  talk(*peer, begin_post(1));
  std::uint64_t sent = 0;
  for (int i = 0; i < 20; ++i) {
    sent += 128 * 1024;
    talk(*peer, body(1, 128 * 1024));
    ASSERT_TRUE(peer->reader.goaways.empty());
    ASSERT_EQ(peer->stream(1).code, -1);
  }
  EXPECT_EQ(last().body_bytes, sent);
  EXPECT_GT(peer->reader.windows[1], sent - 256U * 1024);
  EXPECT_GT(peer->reader.windows[0], sent - 1024U * 1024);
}

TEST_F(H2Flow, APausedUploadKeepsItsWindow) {
  auto peer = connect();
  talk(*peer, begin_post(1));
  set_reading(0, false);
  talk(*peer, body(1, 256 * 1024));
  EXPECT_EQ(last().body_bytes, 256U * 1024);  // what was allowed is taken
  EXPECT_EQ(peer->reader.windows[1], 0U);
  EXPECT_EQ(peer->reader.windows[0], 1024U * 1024 - 65'535);
  set_reading(0, true);
  listen(*peer);
  EXPECT_EQ(peer->reader.windows[1], 256U * 1024);
  talk(*peer, body(1, 1000));
  EXPECT_EQ(last().body_bytes, 256U * 1024 + 1000);
}

TEST_F(H2Flow, MoreThanTheWindowEndsTheStream) {
  auto peer = connect();
  talk(*peer, begin_post(1));
  set_reading(0, false);
  talk(*peer, body(1, 256 * 1024) + body(1, 1));
  // Of the stream, or as nghttp2 has it, of the connection (6.9.1 lets us choose).
  EXPECT_TRUE(
      peer->stream(1).code == NGHTTP2_FLOW_CONTROL_ERROR ||
      (!peer->reader.goaways.empty() && peer->reader.goaways.back() == NGHTTP2_FLOW_CONTROL_ERROR));
  EXPECT_TRUE(last().is_reset);
}

TEST_F(H2Flow, APausedUploadStopsNoOther) {
  auto peer = connect();
  talk(*peer, begin_post(1) + begin_post(3));
  set_reading(0, false);
  talk(*peer, body(1, 256 * 1024));
  for (int i = 0; i < 40; ++i)
    talk(*peer, body(3, 64 * 1024));
  EXPECT_EQ(handlers_[1]->body_bytes, 40U * 64 * 1024);
  EXPECT_TRUE(peer->reader.goaways.empty());
}

TEST_F(H2Flow, StreamsThatEndGiveTheirShareBack) {
  auto peer = connect();
  // Each is paused, filled and then reset by either side: the connection's window must come back.
  for (std::uint32_t id = 1; id < 41; id += 2) {
    talk(*peer, begin_post(id));
    const std::size_t handler = handlers_.size() - 1;
    set_reading(handler, false);
    talk(*peer, body(id, 200 * 1024));
    if (id % 4 == 1) {
      talk(*peer, h2_reset(id));
    } else {
      driver_.turn([&] { last().stream->reset({}); });
      last().expects_silence = true;
      listen(*peer);
    }
    ASSERT_TRUE(peer->reader.goaways.empty()) << id;
  }
  EXPECT_GT(peer->reader.windows[0], 20U * 200 * 1024 - 1024 * 1024);
}

TEST_F(H2Flow, AnAnsweredUploadIsDroppedAndItsWindowComesBack) {
  auto peer = connect();
  for (std::uint32_t id = 1; id < 21; id += 2) {
    talk(*peer, begin_post(id));
    driver_.turn([&] { test::answer(*last().stream, driver_.loop.chunks(), 403, "no"); });
    last().expects_silence = true;
    talk(*peer, body(id, 200 * 1024));  // it was on its way
    ASSERT_TRUE(peer->reader.goaways.empty());
  }
  EXPECT_GT(peer->reader.windows[0], 1024U * 1024);
}

TEST_F(H2Flow, SeveralSmallAnswersLeaveTogether) {
  auto peer = connect();
  talk(*peer, h2_get(1) + h2_get(3) + h2_get(5));
  driver_.turn([&] {
    for (auto& handler : handlers_)
      test::answer(*handler->stream, driver_.loop.chunks(), 200, "small");
    // Nothing has been written yet: one output for the turn.
    EXPECT_EQ(handlers_[0]->stream->unsent(), 5U);
  });
  listen(*peer);
  EXPECT_EQ(peer->stream(5).body, "small");
}

}  // namespace
}  // namespace portunus::http
