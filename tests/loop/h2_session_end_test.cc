// How connections and streams end: drains, age, time-outs, and clients that go.
#include <nghttp2/nghttp2.h>

#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

using test::h2_hpack;

class H2End : public H2SessionTest {
 protected:
  void drain() {
    driver_.turn([&] { open_.front()->drain(); });
  }
  bool ends(H2Peer& peer) {
    peer.socket->close();
    return driver_.run_until([&] { return open_.empty(); });
  }
};

TEST_F(H2End, AnIdleConnectionIsClosedInADrain) {
  auto peer = connect();
  talk(*peer, h2_get(1));
  drain();
  ASSERT_TRUE(is_hung_up(*peer));
  EXPECT_EQ(peer->reader.goaways, std::vector<int>{NGHTTP2_NO_ERROR});
  EXPECT_EQ(peer->reader.last_stream, 1U);
  EXPECT_TRUE(ends(*peer));
}

TEST_F(H2End, AFreshConnectionHasAMomentForItsRequestInADrain) {
  auto peer = connect();
  drain();
  listen(*peer);
  EXPECT_TRUE(peer->reader.goaways.empty());
  context_.is_draining = true;
  talk(*peer, h2_get(1));
  EXPECT_EQ(peer->stream(1).status, "200");
  ASSERT_TRUE(is_hung_up(*peer));
  EXPECT_TRUE(ends(*peer));
  auto other = connect();
  ASSERT_TRUE(is_hung_up(*other));
  EXPECT_EQ(other->reader.goaways, std::vector<int>{NGHTTP2_NO_ERROR});
}

TEST_F(H2End, RunningStreamsEndInADrain) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1));
  drain();
  listen(*peer);
  // The notice, and a PING that tells when it has arrived.
  EXPECT_EQ(peer->reader.goaways, std::vector<int>{NGHTTP2_NO_ERROR});
  EXPECT_EQ(peer->reader.last_stream, 0x7fffffffU);
  EXPECT_EQ(peer->reader.pings, 1);
  // What was under way already is served.
  talk(*peer, h2_get(3) + h2_frame(NGHTTP2_PING, test::h2_ack, 0, std::string(8, '\0')));
  EXPECT_EQ(peer->reader.goaways.size(), 2U);
  EXPECT_EQ(peer->reader.last_stream, 3U);
  // What comes later is not (6.8).
  talk(*peer, h2_get(5));
  ASSERT_EQ(handlers_.size(), 2U);
  driver_.turn([&] { test::answer(*handlers_[0]->stream, driver_.loop.chunks(), 200, "one"); });
  listen(*peer);
  EXPECT_FALSE(peer->socket->is_over());
  driver_.turn([&] { test::answer(*handlers_[1]->stream, driver_.loop.chunks(), 200, "two"); });
  ASSERT_TRUE(is_hung_up(*peer));
  EXPECT_EQ(peer->stream(1).body, "one");
  EXPECT_EQ(peer->stream(3).body, "two");
  EXPECT_TRUE(peer->stream(3).has_end);
  EXPECT_TRUE(ends(*peer));
}

TEST_F(H2End, ADrainDoesNotWaitForPings) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1));
  drain();
  EXPECT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    return peer->reader.goaways.size() == 2;
  }));
  EXPECT_EQ(peer->reader.last_stream, 1U);
}

TEST_F(H2End, AgeEndsAConnection) {
  context_.requests_max = 3;
  auto peer = connect();
  talk(*peer, h2_get(1) + h2_get(3));
  EXPECT_TRUE(peer->reader.goaways.empty());
  talk(*peer, h2_get(5) + h2_get(7));
  ASSERT_TRUE(is_hung_up(*peer));
  for (const std::uint32_t id : {1U, 3U, 5U, 7U})
    EXPECT_EQ(peer->stream(id).status, "200") << id;
}

TEST_F(H2End, AConnectionOfADrainingListenerEndsAfterItsAnswer) {
  context_.is_draining = true;
  auto peer = connect();
  talk(*peer, h2_get(1));
  EXPECT_EQ(peer->stream(1).status, "200");
  ASSERT_TRUE(is_hung_up(*peer));
  EXPECT_EQ(peer->reader.goaways.back(), NGHTTP2_NO_ERROR);
}

TEST_F(H2End, ShutDownTellsThoseWhoHaveNoAnswerYet) {
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_get(1) + h2_get(3) + h2_get(5));
  send_head(*handlers_[1], 200, BodyKind::unknown);
  send_body(*handlers_[1], "begun", false);
  driver_.turn([&] { test::answer(*handlers_[2]->stream, driver_.loop.chunks(), 200, "done"); });
  listen(*peer);
  driver_.turn([&] {
    open_.front()->shut_down({EndReason::shutdown, base::Side::internal, base::Retry::no, ""});
  });
  ASSERT_TRUE(is_hung_up(*peer));
  EXPECT_EQ(peer->stream(1).status, "503");
  EXPECT_TRUE(peer->stream(1).has_end);
  EXPECT_FALSE(peer->stream(3).has_end);
  EXPECT_EQ(peer->stream(3).code, NGHTTP2_CANCEL);
  EXPECT_EQ(peer->stream(5).body, "done");
  EXPECT_EQ(handlers_[0]->events, "head GET /a; end; reset shutdown; ");
  EXPECT_EQ(handlers_[1]->events, "head GET /a; end; reset shutdown; ");
  EXPECT_EQ(peer->reader.goaways.back(), NGHTTP2_NO_ERROR);
  EXPECT_TRUE(ends(*peer));
}

TEST_F(H2End, WhoLingersForEverIsHungUpOn) {
  auto peer = connect();
  talk(*peer, h2_get(1));
  drain();
  EXPECT_TRUE(driver_.run_until([&] { return open_.empty(); }));
  EXPECT_TRUE(is_hung_up(*peer));
}

// ---- time-outs ----

TEST_F(H2End, WhoSaysNothingIsHungUpOn) {
  context_.headers_ms = 200;
  auto silent = connect_raw();
  EXPECT_TRUE(is_hung_up(*silent));
  auto idle = connect();
  ASSERT_TRUE(is_hung_up(*idle));
  EXPECT_EQ(idle->reader.goaways, std::vector<int>{NGHTTP2_NO_ERROR});
}

TEST_F(H2End, IdleConnectionsAreClosed) {
  context_.keep_alive_ms = 200;
  auto peer = connect();
  talk(*peer, h2_get(1));
  EXPECT_EQ(peer->stream(1).status, "200");
  ASSERT_TRUE(is_hung_up(*peer));
  EXPECT_EQ(peer->reader.goaways, std::vector<int>{NGHTTP2_NO_ERROR});
}

// PINGs do not keep a connection that nobody uses.
TEST_F(H2End, PingsDoNotKeepAConnection) {
  context_.keep_alive_ms = 300;
  auto peer = connect();
  talk(*peer, h2_get(1));
  EXPECT_TRUE(driver_.run_until([&] {
    peer->socket->send(h2_ping());
    return peer->socket->is_over();
  }));
}

TEST_F(H2End, AHeadThatDoesNotEndIsReset) {
  context_.headers_ms = 200;
  auto peer = connect();
  talk(*peer, h2_frame(NGHTTP2_HEADERS, 1, 1, h2_hpack(h2_request("GET", "/"))));
  EXPECT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    return peer->stream(1).code == NGHTTP2_CANCEL;
  }));
  EXPECT_TRUE(handlers_.empty());
  EXPECT_NE(refused_, "");
}

TEST_F(H2End, ABodyThatDoesNotComeIsAnswered) {
  context_.body_ms = 200;
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("POST", "/p"), false) + h2_data(1, "abc", false));
  last().at_reset = nullptr;
  EXPECT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    return peer->stream(1).has_end;
  }));
  EXPECT_EQ(peer->stream(1).status, "408");
  EXPECT_EQ(last().events, "head POST /p; body abc; reset client_timeout; ");
  // The connection stays.
  talk(*peer, h2_get(3));
  EXPECT_EQ(peer->stream(3).status, "200");
}

// It always moves, but never by as much as is asked for. The connection stays.
TEST_F(H2End, ABodyInDropsIsTooSlow) {
  context_.body_ms = 200;
  context_.body_least = 1'000'000;
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("POST", "/p"), false) + h2_data(1, "abc", false));
  EXPECT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    if (peer->stream(1).has_end) return true;
    peer->socket->send(h2_data(1, "d", false));
    return false;
  }));
  EXPECT_EQ(peer->stream(1).status, "408");
  EXPECT_EQ(last().error.reason, EndReason::client_timeout);
}

TEST_F(H2End, ABodyThatIsNotReadHasTime) {
  context_.body_ms = 200;
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_headers(1, h2_request("POST", "/p"), false) + h2_data(1, "abc", false));
  driver_.turn([&] { last().stream->set_reading(false); });
  EXPECT_FALSE(driver_.run_until([&] { return last().is_reset; }, 600));
  driver_.turn([&] { last().stream->set_reading(true); });
  EXPECT_TRUE(driver_.run_until([&] { return last().is_reset; }));
  EXPECT_EQ(last().error.reason, EndReason::client_timeout);
}

// A zero window that is held open with answers that wait (THREATS.md).
TEST_F(H2End, AWindowThatStaysShutEndsTheStream) {
  context_.write_ms = 200;
  at_end_ = nullptr;
  auto peer = connect(h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}}));
  talk(*peer, h2_get(1) + h2_get(3));
  send_head(*handlers_[0], 200, BodyKind::unknown);
  send_body(*handlers_[0], "abc", false);  // it knows, and may hear of it
  send_head(*handlers_[1], 200, BodyKind::length, 3);
  send_body(*handlers_[1], "abc", true);  // nobody is there any more
  EXPECT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    return peer->stream(1).code == NGHTTP2_CANCEL && peer->stream(3).code == NGHTTP2_CANCEL;
  }));
  EXPECT_EQ(handlers_[0]->error.reason, EndReason::client_timeout);
  EXPECT_TRUE(driver_.run_until([&] { return shared_.streams.live() == 0; }));
}

TEST_F(H2End, ASocketThatIsNotReadEndsTheConnection) {
  context_.write_ms = 300;
  at_end_ = nullptr;
  auto peer = connect_raw(4096);
  peer->socket->reads = false;
  talk(*peer, std::string(test::kH2Preface) +
                  h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff}}) +
                  h2_window(0, 0x7fff0000) + h2_get(1));
  send_head(last(), 200, BodyKind::unknown);
  for (int i = 0; i < 200 && last().stream->unsent() < kUnsentHigh; ++i) {
    send_body(last(), std::string(100'000, 'x'), false);
    driver_.settle();
  }
  EXPECT_TRUE(driver_.run_until([&] { return open_.empty(); }));
  EXPECT_EQ(last().error.reason, EndReason::client_timeout);
}

// ---- tunnels ----

H2Fields connect_fields(const H2Fields& more = {}) {
  H2Fields fields{{":method", "CONNECT"},
                  {":protocol", "websocket"},
                  {":scheme", "https"},
                  {":authority", "x"},
                  {":path", "/chat?room=1"},
                  {"sec-websocket-version", "13"},
                  {"sec-websocket-protocol", "chat"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

class H2Tunnel : public H2End {
 protected:
  H2Tunnel() { at_end_ = nullptr; }
  void grant() {
    driver_.turn([&] {
      Head head;
      head.clear();
      head.status = 101;
      head.upgrade = true;
      head.upgrade_token = "websocket";
      head.fields.add(HeaderId::upgrade, "websocket");
      head.fields.add(HeaderId::connection, "upgrade");
      head.fields.add(HeaderId::sec_websocket_accept, "abc");
      head.fields.add(HeaderId::sec_websocket_protocol, "chat");
      last().stream->send_head(head, false);
    });
  }
};

TEST_F(H2Tunnel, LooksLikeAnUpgrade) {
  auto peer = connect();
  talk(*peer, h2_headers(1, connect_fields({{"sec-websocket-key", "theirs"}}), false));
  EXPECT_EQ(last().events, "head GET /chat?room=1; end; ");
  const Head& head = *last().last;
  EXPECT_EQ(head.method, Method::get);
  EXPECT_TRUE(head.upgrade);
  EXPECT_EQ(head.upgrade_token, "websocket");
  EXPECT_EQ(head.body, BodyKind::none);
  EXPECT_EQ(head.fields.value_of(HeaderId::upgrade), "websocket");
  EXPECT_EQ(head.fields.value_of(HeaderId::sec_websocket_version), "13");
  EXPECT_EQ(head.fields.count(HeaderId::sec_websocket_key), 1U);
  const std::string_view key = head.fields.value_of(HeaderId::sec_websocket_key);
  EXPECT_EQ(key.size(), 24U);
  EXPECT_EQ(key.substr(22), "==");
  EXPECT_EQ(
      key.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
      22U);
  grant();
  listen(*peer);
  EXPECT_EQ(peer->stream(1).status, "200");
  EXPECT_NE(peer->stream(1).fields.find("sec-websocket-protocol=chat;"), std::string::npos);
  EXPECT_EQ(peer->stream(1).fields.find("accept"), std::string::npos);
  EXPECT_EQ(peer->stream(1).fields.find("upgrade"), std::string::npos);
  EXPECT_FALSE(peer->stream(1).has_end);
}

TEST_F(H2Tunnel, CarriesBytesBothWaysUntilBothHaveEnded) {
  auto peer = connect();
  talk(*peer, h2_headers(1, connect_fields(), false));
  grant();
  talk(*peer, h2_data(1, "to the member", false));
  send_body(last(), "to the client", false);
  listen(*peer);
  EXPECT_EQ(last().body, "to the member");
  EXPECT_EQ(peer->stream(1).body, "to the client");
  send_body(last(), "", true);
  listen(*peer);
  EXPECT_TRUE(peer->stream(1).has_end);
  EXPECT_EQ(peer->stream(1).code, -1);
  last().has_end = false;  // the recorder knows of one end; this is the tunnel's
  talk(*peer, h2_data(1, "last", true));
  EXPECT_EQ(last().body, "to the memberlast");
  EXPECT_TRUE(last().has_end);
  EXPECT_EQ(shared_.streams.live(), 0U);
}

TEST_F(H2Tunnel, WhatComesBeforeTheAnswerGoesIntoIt) {
  auto peer = connect();
  talk(*peer, h2_headers(1, connect_fields(), false) + h2_data(1, "early", true));
  EXPECT_EQ(last().body, "");
  last().has_end = false;
  grant();
  driver_.settle();
  EXPECT_EQ(last().events, "head GET /chat?room=1; end; body early; end; ");
  send_body(last(), "bye", true);
  last().expects_silence = true;
  listen(*peer);
  EXPECT_EQ(peer->stream(1).body, "bye");
  EXPECT_TRUE(peer->stream(1).has_end);
  EXPECT_EQ(shared_.streams.live(), 0U);
}

// The member grants it in the turn in which the client ends it already.
TEST_F(H2Tunnel, MayBeGrantedAndEndedInOneTurn) {
  at_end_ = [](RecorderHandler& handler) {
    if (handler.status == 101) return;  // the end of the tunnel
    handler.status = 101;
    handler.has_end = false;
    Head head;
    head.clear();
    head.status = 101;
    head.upgrade = true;
    handler.stream->send_head(head, false);
  };
  auto peer = connect();
  talk(*peer,
       h2_headers(1, connect_fields(), false) + h2_data(1, "one", false) + h2_data(1, "two", true));
  EXPECT_EQ(last().events, "head GET /chat?room=1; end; body onetwo; end; ");
}

TEST_F(H2Tunnel, MayBeDenied) {
  auto peer = connect();
  talk(*peer, h2_headers(1, connect_fields(), false) + h2_data(1, "early", false));
  driver_.turn([&] { test::answer(*last().stream, driver_.loop.chunks(), 403, "no"); });
  last().expects_silence = true;
  listen(*peer);
  EXPECT_EQ(peer->stream(1).status, "403");
  EXPECT_TRUE(peer->stream(1).has_end);
  talk(*peer, h2_data(1, "", true));
  EXPECT_EQ(shared_.streams.live(), 0U);
}

TEST_F(H2Tunnel, BreaksOff) {
  auto peer = connect();
  talk(*peer, h2_headers(1, connect_fields(), false) + h2_headers(3, connect_fields(), false));
  grant();
  listen(*peer);
  driver_.turn([&] {
    last().stream->reset({EndReason::upstream_reset, base::Side::upstream, base::Retry::no, ""});
  });
  last().expects_silence = true;
  listen(*peer);
  EXPECT_EQ(peer->stream(3).code, NGHTTP2_CONNECT_ERROR);
  talk(*peer, h2_reset(1));
  EXPECT_TRUE(handlers_[0]->is_reset);
}

TEST_F(H2Tunnel, IdleOnesStay) {
  context_.body_ms = context_.write_ms = context_.headers_ms = context_.keep_alive_ms = 100;
  auto peer = connect();
  talk(*peer, h2_headers(1, connect_fields(), false));
  grant();
  EXPECT_FALSE(driver_.run_until([&] { return last().is_reset || open_.empty(); }, 500));
}

}  // namespace
}  // namespace portunus::http
