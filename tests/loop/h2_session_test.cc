// Requests and answers over HTTP/2: what an exchange sees of them, and what a client.
#include <nghttp2/nghttp2.h>

#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

TEST_F(H2SessionTest, SettingsComeFirst) {
  auto peer = connect();
  EXPECT_EQ(peer->reader.settings[NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS], 128U);
  EXPECT_EQ(peer->reader.settings[NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE], 256U * 1024);
  EXPECT_EQ(peer->reader.settings[NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL], 1U);
  EXPECT_EQ(peer->reader.settings[NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES], 1U);
  EXPECT_EQ(peer->reader.windows[0], 1024U * 1024 - 65535);
}

TEST_F(H2SessionTest, Get) {
  auto peer = connect();
  talk(*peer, h2_get(1, "/a/b?c=d", {{"accept", "text/html"}}));
  ASSERT_EQ(handlers_.size(), 1U);
  EXPECT_EQ(last().events, "head GET /a/b?c=d; end; ");
  EXPECT_EQ(last().last->protocol, Protocol::http2);
  EXPECT_EQ(last().fields, "accept=text/html;host=x;");
  EXPECT_EQ(peer->stream(1).status, "200");
  EXPECT_EQ(peer->stream(1).body, "GET /a/b?c=d|");
  EXPECT_TRUE(peer->stream(1).has_end);
  EXPECT_NE(peer->stream(1).fields.find("content-length=13;"), std::string::npos);
  EXPECT_NE(peer->stream(1).fields.find("date="), std::string::npos);
  EXPECT_EQ(peer->stream(1).code, -1);
}

TEST_F(H2SessionTest, PostWithBody) {
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("POST", "/p", {{"content-length", "6"}}), false));
  EXPECT_EQ(last().last->body, BodyKind::length);
  EXPECT_EQ(last().last->content_length, 6U);
  talk(*peer, h2_data(1, "abc", false) + h2_data(1, "def", true));
  EXPECT_EQ(last().events, "head POST /p; body abcdef; end; ");
  EXPECT_EQ(peer->stream(1).body, "POST /p|abcdef");
  // Of unknown length.
  talk(*peer, h2_headers(3, h2_request("POST", "/q"), false) + h2_data(3, "x", false) +
                  h2_data(3, "", true));
  EXPECT_EQ(last().last->body, BodyKind::unknown);
  EXPECT_EQ(peer->stream(3).body, "POST /q|x");
  EXPECT_EQ(peer->stream(3).code, -1);
}

TEST_F(H2SessionTest, EmptyBodyThatIsAnnounced) {
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("POST", "/p", {{"content-length", "0"}}), false));
  EXPECT_EQ(last().events, "head POST /p; ");
  EXPECT_EQ(last().last->body, BodyKind::length);
  talk(*peer, h2_data(1, "", true));
  EXPECT_EQ(last().events, "head POST /p; end; ");
}

TEST_F(H2SessionTest, ManyStreamsAtOnce) {
  auto peer = connect();
  std::string all;
  for (std::uint32_t id = 1; id < 201; id += 2)
    all += h2_get(id, "/" + std::to_string(id));
  talk(*peer, all);
  EXPECT_EQ(handlers_.size(), 100U);
  for (std::uint32_t id = 1; id < 201; id += 2) {
    EXPECT_EQ(peer->stream(id).body, "GET /" + std::to_string(id) + "|");
    EXPECT_TRUE(peer->stream(id).has_end);
  }
  EXPECT_TRUE(open_.front()->is_kept_alive());
}

TEST_F(H2SessionTest, AnswersInAnyOrder) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1) + h2_get(3));
  EXPECT_FALSE(open_.front()->is_idle());
  driver_.turn([&] { test::answer(*handlers_[1]->stream, driver_.loop.chunks(), 200, "second"); });
  listen(*peer);
  EXPECT_EQ(peer->stream(3).body, "second");
  EXPECT_EQ(peer->stream(1).status, "");
  driver_.turn([&] { test::answer(*handlers_[0]->stream, driver_.loop.chunks(), 404, "first"); });
  listen(*peer);
  EXPECT_EQ(peer->stream(1).status, "404");
  EXPECT_EQ(peer->stream(1).body, "first");
}

TEST_F(H2SessionTest, Trailers) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("POST", "/p", {{"te", "trailers"}}), false) +
                  h2_data(1, "abc", false) +
                  h2_headers(1, {{"x-sum", "1"}, {"content-type", "x"}}, true));
  // What must not come so late is dropped.
  EXPECT_EQ(last().events, "head POST /p; body abc; trailers x-sum=1; end; ");
  send_head(last(), 200, BodyKind::unknown);
  send_body(last(), "answer", false);
  driver_.turn([&] {
    HeaderBlock trailers;
    trailers.add("grpc-status", "0");
    trailers.add("grpc-message", "fine");
    last().stream->send_trailers(trailers);
  });
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body, "answer");
  EXPECT_EQ(peer->stream(1).trailers, "grpc-status=0;grpc-message=fine;");
  EXPECT_TRUE(peer->stream(1).has_end);
  EXPECT_EQ(peer->stream(1).code, -1);
}

TEST_F(H2SessionTest, TrailersWithoutBody) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  driver_.turn([&] {
    HeaderBlock trailers;
    trailers.add("x", "1");
    last().stream->send_trailers(trailers);
  });
  listen(*peer);
  EXPECT_EQ(peer->stream(1).trailers, "x=1;");
  EXPECT_TRUE(peer->stream(1).has_end);
}

TEST_F(H2SessionTest, InterimAnswers) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("POST", "/p", {{"expect", "100-continue"}}), false));
  EXPECT_TRUE(last().last->expects_continue);
  send_head(last(), 100, BodyKind::none);
  send_head(last(), 103, BodyKind::none);
  listen(*peer);
  EXPECT_EQ(peer->stream(1).status, "100 103");
  EXPECT_EQ(peer->stream(1).fields, "");
  talk(*peer, h2_data(1, "abc", true));
  send_head(last(), 200, BodyKind::length, 2);
  send_body(last(), "ok", true);
  listen(*peer);
  EXPECT_EQ(peer->stream(1).status, "100 103 200");
  EXPECT_EQ(peer->stream(1).body, "ok");
}

TEST_F(H2SessionTest, AnswersWithoutBody) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("HEAD", "/"), true));
  send_head(last(), 200, BodyKind::length, 1000, true);
  talk(*peer, h2_get(3));
  send_head(last(), 204, BodyKind::none, 0, true);
  talk(*peer, h2_get(5));
  send_head(last(), 304, BodyKind::none, 0, true);
  // The end comes later, and a body that must not be there.
  talk(*peer, h2_headers(7, h2_request("HEAD", "/"), true));
  send_head(last(), 200, BodyKind::length, 3, false);
  send_body(last(), "abc", true);
  listen(*peer);
  EXPECT_NE(peer->stream(1).fields.find("content-length=1000;"), std::string::npos);
  EXPECT_EQ(peer->stream(3).fields.find("content-length"), std::string::npos);
  for (const std::uint32_t id : {1U, 3U, 5U, 7U}) {
    EXPECT_TRUE(peer->stream(id).has_end) << id;
    EXPECT_EQ(peer->stream(id).body, "") << id;
    EXPECT_EQ(peer->stream(id).code, -1) << id;
  }
}

TEST_F(H2SessionTest, FieldsOfTheConnectionAreNotSent) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1));
  driver_.turn([&] {
    Head head;
    head.clear();
    head.status = 200;
    head.body = BodyKind::unknown;
    for (const char* name : {"connection", "keep-alive", "proxy-connection", "transfer-encoding",
                             "upgrade", "te", "x-kept"})
      head.fields.add(name, "chunked");
    last().stream->send_head(head, true);
  });
  listen(*peer);
  EXPECT_EQ(peer->stream(1).fields.substr(peer->stream(1).fields.find("GMT;") + 4),
            "x-kept=chunked;");
}

TEST_F(H2SessionTest, EarlyAnswerEndsTheRequest) {
  auto peer = connect();
  at_head_ = [this](RecorderHandler& handler) {
    handler.expects_silence = true;
    test::answer(*handler.stream, driver_.loop.chunks(), 403, "no");
  };
  talk(*peer, h2_headers(1, h2_request("POST", "/p"), false) + h2_data(1, "abc", false));
  EXPECT_EQ(peer->stream(1).status, "403");
  EXPECT_EQ(peer->stream(1).body, "no");
  EXPECT_TRUE(peer->stream(1).has_end);
  // What was on its way is dropped, and the connection goes on.
  at_head_ = nullptr;
  talk(*peer, h2_data(1, "def", true) + h2_get(3));
  EXPECT_EQ(peer->stream(1).code, -1);
  EXPECT_EQ(peer->stream(3).status, "200");
  EXPECT_TRUE(peer->reader.goaways.empty());
  EXPECT_EQ(shared_.streams.live(), 0U);
}

TEST_F(H2SessionTest, EarlyAnswerToOneThatGoesOnSendingIsReset) {
  auto peer = connect();
  at_head_ = [this](RecorderHandler& handler) {
    handler.expects_silence = true;
    test::answer(*handler.stream, driver_.loop.chunks(), 403, "no");
  };
  talk(*peer, h2_headers(1, h2_request("POST", "/p"), false) + h2_data(1, "abc", false));
  EXPECT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    return peer->stream(1).code == NGHTTP2_NO_ERROR;
  }));
  EXPECT_EQ(peer->stream(1).body, "no");
  EXPECT_EQ(stopped(H2Abuse::server_resets), 0U);
  at_head_ = nullptr;
  talk(*peer, h2_data(1, "def", true) + h2_get(3));
  EXPECT_EQ(peer->stream(3).status, "200");
}

TEST_F(H2SessionTest, AnswerShorterThanAnnounced) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1));
  send_head(last(), 200, BodyKind::length, 10);
  send_body(last(), "abc", true);
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body, "abc");
  EXPECT_EQ(peer->stream(1).code, NGHTTP2_INTERNAL_ERROR);
  EXPECT_FALSE(peer->stream(1).has_end);
}

TEST_F(H2SessionTest, AnswerLongerThanAnnounced) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1));
  send_head(last(), 200, BodyKind::length, 3);
  send_body(last(), "abcdef", true);
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body, "abc");
  EXPECT_TRUE(peer->stream(1).has_end);
}

TEST_F(H2SessionTest, ExchangeThatBreaksOff) {
  at_end_ = nullptr;
  auto peer = connect();
  const auto break_off = [&](EndReason reason) {
    driver_.turn(
        [&] { last().stream->reset({reason, base::Side::upstream, base::Retry::no, ""}); });
    last().expects_silence = true;
    listen(*peer);
  };
  talk(*peer, h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  send_body(last(), "abc", false);
  break_off(EndReason::upstream_reset);
  // What came before stays the client's.
  EXPECT_EQ(peer->stream(1).body, "abc");
  EXPECT_EQ(peer->stream(1).code, NGHTTP2_INTERNAL_ERROR);
  talk(*peer, h2_get(3));
  break_off(EndReason::shutdown);
  EXPECT_EQ(peer->stream(3).code, NGHTTP2_CANCEL);
  EXPECT_FALSE(peer->stream(1).has_end);
  EXPECT_EQ(stopped(H2Abuse::server_resets), 0U);
}

TEST_F(H2SessionTest, ClientResets) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1) + h2_headers(3, h2_request("POST", "/p"), false));
  talk(*peer, h2_reset(1) + h2_reset(3));
  EXPECT_EQ(handlers_[0]->events, "head GET /a; end; reset client_closed; ");
  EXPECT_EQ(handlers_[1]->events, "head POST /p; reset client_closed; ");
  EXPECT_EQ(shared_.streams.live(), 0U);
  EXPECT_EQ(context_.h2_counts.resets_received, 2U);
}

TEST_F(H2SessionTest, ClientGoes) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1) + h2_headers(3, h2_request("POST", "/p"), false));
  peer->socket->close();
  driver_.settle();
  EXPECT_EQ(handlers_[0]->events, "head GET /a; end; reset client_closed; ");
  EXPECT_EQ(handlers_[1]->events, "head POST /p; reset client_closed; ");
  EXPECT_TRUE(open_.empty());
}

TEST_F(H2SessionTest, BytesInAnyPieces) {
  auto peer = connect_raw();
  const std::string all = std::string(test::kH2Preface) + h2_settings() +
                          h2_headers(1, h2_request("POST", "/p", {{"x", "y"}}), false) +
                          h2_data(1, "abc", true) + h2_get(3);
  for (const char c : all) {
    peer->socket->send({&c, 1});
    driver_.step();
  }
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body, "POST /p|abc");
  EXPECT_EQ(peer->stream(3).body, "GET /a|");
}

}  // namespace
}  // namespace portunus::http
