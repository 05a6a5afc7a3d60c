// What a client may make us do for nothing, and where it ends (THREATS.md section 2).
#include <nghttp2/nghttp2.h>

#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

using test::h2_hpack;

std::string repeat(std::string_view what, int count) {
  std::string out;
  for (int i = 0; i < count; ++i)
    out += what;
  return out;
}

class H2Floods : public H2SessionTest {
 protected:
  H2Floods() { at_end_ = nullptr; }

  // The connection is closed and counted.
  void expect_stopped(const std::string& flood, H2Abuse kind) {
    auto peer = connect();
    EXPECT_EQ(goaway_after(*peer, flood), NGHTTP2_ENHANCE_YOUR_CALM) << name_of(kind);
    EXPECT_EQ(stopped(kind), 1U) << name_of(kind);
    peer->socket->close();
    EXPECT_TRUE(driver_.run_until([&] { return open_.empty(); })) << name_of(kind);
    EXPECT_EQ(shared_.streams.live(), 0U) << name_of(kind);
  }
  void expect_borne(const std::string& flood, std::uint32_t next = 1) {
    auto peer = connect();
    talk(*peer, flood);
    EXPECT_TRUE(peer->reader.goaways.empty());
    at_end_ = [this](RecorderHandler& handler) {
      test::answer(*handler.stream, driver_.loop.chunks(), 200, "");
    };
    talk(*peer, h2_get(next));
    EXPECT_EQ(peer->stream(next).status, "200");
    at_end_ = nullptr;
  }
};

std::string opened_and_reset(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    const auto id = static_cast<std::uint32_t>(2 * i + 1);
    out += h2_get(id) + h2_reset(id);
  }
  return out;
}

TEST_F(H2Floods, RapidReset) {
  expect_borne(opened_and_reset(100), 1001);  // a page that is left
  handlers_.clear();
  expect_stopped(opened_and_reset(10'000), H2Abuse::client_resets);
  // It has not reached much, although all of it came at once.
  EXPECT_LE(handlers_.size(), 256U);
  for (const auto& handler : handlers_)
    EXPECT_TRUE(handler->is_reset);
}

TEST_F(H2Floods, ResetsInTheCourseOfTimeAreBorne) {
  shared_.limits.allowances[static_cast<std::size_t>(H2Abuse::client_resets)] = {5, 1'000'000};
  auto peer = connect();
  for (std::uint32_t id = 1; id < 41; id += 2) {
    talk(*peer, h2_get(id) + h2_reset(id));
    ASSERT_TRUE(peer->reader.goaways.empty());
  }
}

// Each stream breaks a rule, so that the server has to reset it. In pieces, for the limit of streams at
// once is there too.
TEST_F(H2Floods, MadeYouReset) {
  auto peer = connect();
  std::uint32_t id = 1;
  for (int round = 0; round < 40 && peer->reader.goaways.empty(); ++round) {
    std::string flood;
    for (int i = 0; i < 20; ++i, id += 2)
      flood += h2_headers(id, h2_request("POST", "/p"), false) + h2_window(id, 0x7fffffff);
    talk(*peer, flood);
  }
  ASSERT_FALSE(peer->reader.goaways.empty());
  EXPECT_EQ(peer->reader.goaways.back(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(stopped(H2Abuse::server_resets), 1U);
  EXPECT_LE(handlers_.size(), 256U);
}

TEST_F(H2Floods, MalformedHeads) {
  auto peer = connect();
  std::uint32_t id = 1;
  for (int round = 0; round < 40 && peer->reader.goaways.empty(); ++round) {
    std::string flood;
    for (int i = 0; i < 20; ++i, id += 2)
      flood += h2_get(id, "/", {{"connection", "close"}});
    talk(*peer, flood);
  }
  ASSERT_FALSE(peer->reader.goaways.empty());
  EXPECT_EQ(peer->reader.goaways.back(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(stopped(H2Abuse::server_resets), 1U);
  EXPECT_TRUE(handlers_.empty());
}

TEST_F(H2Floods, Continuations) {
  const std::string block = h2_hpack(h2_request("GET", "/"));
  expect_stopped(h2_frame(NGHTTP2_HEADERS, 1, 1, block) +
                     repeat(h2_frame(NGHTTP2_CONTINUATION, 0, 1, h2_hpack({{"a", "b"}})), 100),
                 H2Abuse::continuations);
  EXPECT_TRUE(handlers_.empty());
}

TEST_F(H2Floods, EmptyContinuations) {
  const std::string block = h2_hpack(h2_request("GET", "/"));
  auto peer = connect();
  EXPECT_EQ(goaway_after(*peer, h2_frame(NGHTTP2_HEADERS, 1, 1, block) +
                                    repeat(h2_frame(NGHTTP2_CONTINUATION, 0, 1), 1000)),
            NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(H2Floods, Settings) {
  expect_borne(repeat(h2_settings(), 10));
  expect_stopped(repeat(h2_settings(), 1000), H2Abuse::settings);
}

TEST_F(H2Floods, SettingsWithManyEntries) {
  std::string payload;
  for (int i = 0; i < 1000; ++i)
    payload += test::h2_number(0x4a4a, 2) + test::h2_number(1, 4);
  expect_stopped(h2_frame(NGHTTP2_SETTINGS, 0, 0, payload), H2Abuse::settings);
}

TEST_F(H2Floods, Pings) {
  expect_borne(repeat(h2_ping(), 50));
  auto peer = connect();
  EXPECT_EQ(goaway_after(*peer, repeat(h2_ping(), 10'000)), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(stopped(H2Abuse::pings) + stopped(H2Abuse::output), 1U);
}

TEST_F(H2Floods, Priorities) {
  const std::string frame = h2_frame(NGHTTP2_PRIORITY, 0, 9, test::h2_number(0, 4) + "x");
  expect_borne(repeat(frame, 500));
  expect_stopped(repeat(frame, 5'000), H2Abuse::priorities);
}

TEST_F(H2Floods, PriorityUpdates) {
  expect_stopped(
      repeat(h2_frame(NGHTTP2_PRIORITY_UPDATE, 0, 0, test::h2_number(1, 4) + "u=1"), 5'000),
      H2Abuse::priorities);
}

TEST_F(H2Floods, EmptyData) {
  const std::string post = h2_headers(1, h2_request("POST", "/p"), false);
  expect_borne(post + repeat(h2_data(1, "", false), 50), 3);
  expect_stopped(post + repeat(h2_data(1, "", false), 5'000), H2Abuse::empty_frames);
}

TEST_F(H2Floods, PaddedData) {
  const std::string post = h2_headers(1, h2_request("POST", "/p"), false);
  expect_stopped(
      post + repeat(h2_frame(NGHTTP2_DATA, test::h2_padded, 1, std::string("\x01\0", 2)), 5'000),
      H2Abuse::empty_frames);
}

TEST_F(H2Floods, Windows) {
  expect_stopped(repeat(h2_window(0, 1), 10'000), H2Abuse::window_updates);
}

// One that reads byte by byte is slow, and not hostile: each frame that we send excuses its windows.
TEST_F(H2Floods, WindowsThatAnswerDataAreBorne) {
  shared_.limits.allowances[static_cast<std::size_t>(H2Abuse::window_updates)] = {10, 0};
  auto peer = connect(h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1}}));
  talk(*peer, h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  send_body(last(), std::string(100, 'x'), true);
  listen(*peer);
  for (int i = 0; i < 99; ++i) {
    talk(*peer, h2_window(1, 1) + h2_window(0, 1));
    ASSERT_TRUE(peer->reader.goaways.empty()) << i;
  }
  EXPECT_TRUE(peer->stream(1).has_end);
}

// A few bytes that unfold to megabytes: a large field in the table, and then its index again and again.
std::string bomb(std::uint32_t id, int times, bool is_first) {
  std::string block = h2_hpack(h2_request("GET", "/"));
  if (is_first) {
    const std::string value(3000, 'v');
    block +=
        "\x40\x01"
        "a"
        "\x7f";  // with incremental indexing
    std::size_t rest = value.size() - 127;
    while (rest >= 128) {
      block += static_cast<char>(rest % 128 + 128);
      rest /= 128;
    }
    block += static_cast<char>(rest);
    block += value;
  }
  block += std::string(static_cast<std::size_t>(times), '\xbe');  // index 62
  return h2_frame(NGHTTP2_HEADERS, 5, id, block);
}

TEST_F(H2Floods, HeaderBombs) {
  auto peer = connect();
  talk(*peer, bomb(1, 10'000, true));
  EXPECT_TRUE(handlers_.empty());
  EXPECT_TRUE(peer->stream(1).status == "431" || peer->stream(1).code > 0);
  // The table is in order all the same.
  at_end_ = [this](RecorderHandler& handler) {
    test::answer(*handler.stream, driver_.loop.chunks(), 200, "");
  };
  talk(*peer, h2_get(3));
  EXPECT_EQ(peer->stream(3).status, "200");
  std::string flood;
  for (std::uint32_t id = 5; id < 205; id += 2)
    flood += bomb(id, 10'000, false);
  EXPECT_EQ(goaway_after(*peer, flood), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(stopped(H2Abuse::header_bombs), 1U);
}

TEST_F(H2Floods, TooManyStreams) {
  auto peer = connect();
  std::string all;
  for (std::uint32_t id = 1; id < 2 * 128; id += 2)
    all += h2_get(id);
  talk(*peer, all);
  EXPECT_EQ(handlers_.size(), 128U);
  EXPECT_TRUE(peer->reader.goaways.empty());
  // One more than it was told: a broken rule (5.1.2), of the stream or of the connection.
  talk(*peer, h2_get(257));
  EXPECT_EQ(handlers_.size(), 128U);
  EXPECT_TRUE(peer->stream(257).code == NGHTTP2_REFUSED_STREAM || !peer->reader.goaways.empty());
}

TEST_F(H2Floods, TooManyStreamsBeforeTheLimitIsKnown) {
  auto peer = connect_raw();
  std::string all = std::string(test::kH2Preface) + h2_settings();
  for (std::uint32_t id = 1; id < 2 * 138; id += 2)
    all += h2_get(id);
  talk(*peer, all);
  // Nobody can be blamed: they may be sent again.
  EXPECT_EQ(handlers_.size(), 128U);
  EXPECT_EQ(peer->stream(2 * 138 - 1).code, NGHTTP2_REFUSED_STREAM);
  EXPECT_TRUE(peer->reader.goaways.empty());
}

// Who does not read gets no frames made for it: what waits is bounded.
TEST_F(H2Floods, PingsOfOneThatDoesNotRead) {
  shared_.limits.allowances[static_cast<std::size_t>(H2Abuse::pings)] = {1'000'000, 1'000'000};
  auto peer = connect_raw(4096);
  peer->socket->reads = false;
  peer->socket->send(std::string(test::kH2Preface) + h2_settings());
  const std::string pings = repeat(h2_ping(), 1000);
  for (int i = 0; i < 2000 && stopped(H2Abuse::output) == 0; ++i) {
    peer->socket->send(pings);
    driver_.settle();
  }
  EXPECT_EQ(stopped(H2Abuse::output), 1U);
}

}  // namespace
}  // namespace portunus::http
