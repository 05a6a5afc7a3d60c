// H2Client: connecting, streams that share the connection, requests on the wire, and answers.
#include "tests/loop/h2_client_fixture.h"

namespace portunus::http {
namespace {

// ---- the connection ----

TEST_F(H2ClientTest, RefusedConnection) {
  dial();  // nobody listens
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1; }));
  EXPECT_EQ(connect_failure_.reason, EndReason::upstream_connect);
  EXPECT_EQ(connect_failure_.retry, Retry::unsent);
  EXPECT_FALSE(client_->has_room()) << "who is told must not be lent it again";
}

TEST_F(H2ClientTest, ThoseWhoComeBeforeItStandsWaitForIt) {
  member_.listen();
  dial();
  EXPECT_TRUE(client_->has_room());
  lend();
  lend();
  H2Call& tired = lend();
  release(tired);
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1; }));
  EXPECT_EQ(waited_, 2);
  EXPECT_EQ(client_->lent(), 2U);
}

TEST_F(H2ClientTest, TakesAsManyAsTheMemberAllows) {
  connect(h2_settings({{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2}}));
  H2Call& first = ask();
  EXPECT_TRUE(client_->has_room());
  ask();
  EXPECT_FALSE(client_->has_room());
  says(ok(1));
  release(first);
  EXPECT_TRUE(client_->has_room());
}

TEST_F(H2ClientTest, ClosesItselfWhenIdleForTooLong) {
  connect();
  H2Call& call = ask();
  says(ok(1));
  release(call);
  driver_.turn([&] { client_->idle(20); });
  EXPECT_TRUE(is_gone());
  listen();
  EXPECT_EQ(member().goaways, std::vector<int>{NGHTTP2_NO_ERROR});
}

TEST_F(H2ClientTest, LeavesWhenTheLastStreamHasEnded) {
  connect();
  H2Call& call = ask();
  driver_.turn([&] { client_->leave(); });
  EXPECT_FALSE(client_->has_room());
  says(ok(1));
  EXPECT_EQ(call.handler.events, "head 200; body ok; end; ");
  release(call);
  EXPECT_TRUE(is_gone());
}

TEST_F(H2ClientTest, IsStaleWhenTheMemberHasSaidSomethingUnread) {
  connect();
  H2Call& call = ask();
  says(ok(1));
  release(call);
  EXPECT_FALSE(client_->looks_stale());
  member_.peers.front()->send(goaway(1));
  driver_.deliver();
  EXPECT_TRUE(client_->looks_stale());
}

TEST_F(H2ClientTest, SilentMembersAreAskedWhetherTheyAreThere) {
  context_.silent_ms = context_.ping_ms = 20;
  connect();
  H2Call& call = ask();
  ASSERT_TRUE(driver_.run_until([&] {
    listen();
    return member().pings == 1;
  }));
  says(h2_frame(NGHTTP2_PING, test::h2_ack, 0, std::string(8, '\0')));
  EXPECT_FALSE(call.handler.is_reset);
  // Nothing has come since: it is not asked again so soon, which members of gRPC take for abuse.
  says(h2_headers(1, {{":status", "200"}}, false));
  ASSERT_TRUE(driver_.run_until([&] {
    listen();
    return member().pings == 2;
  }));
  EXPECT_TRUE(driver_.run_until([&] { return call.handler.is_reset; })) << "no acknowledgement";
  EXPECT_EQ(call.handler.error.reason, EndReason::upstream_reset);
  EXPECT_EQ(call.handler.error.retry, Retry::no) << "its answer had begun";
}

TEST_F(H2ClientTest, FloodsOfTheMemberEndTheConnection) {
  connect();
  H2Call& call = ask();
  std::string flood;
  for (int i = 0; i < 600; ++i)
    flood += test::h2_ping();
  says(flood);
  EXPECT_TRUE(driver_.run_until([&] { return call.handler.is_reset; }));
  EXPECT_EQ(call.handler.error.reason, EndReason::upstream_protocol);
  EXPECT_TRUE(is_gone());
}

// Libraries measure the way while they take an upload.
TEST_F(H2ClientTest, PingsForWhatWeSendAreNoFlood) {
  connect(h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1U << 30U}}));
  says(h2_window(0, 1U << 30U));
  H2Call& call = ask(Method::post, BodyKind::unknown);
  for (int i = 0; i < 700; ++i) {
    send_body(call, "x", false);
    says(test::h2_ping());
  }
  EXPECT_EQ(member().pings_acked, 700);
  EXPECT_FALSE(call.handler.is_reset);
}

// ---- requests ----

TEST_F(H2ClientTest, SendsTheHeadWithoutWhatBelongsToHttp1) {
  connect();
  ask();
  EXPECT_EQ(got(1).fields, ":method=GET;:scheme=http;:authority=x:1;:path=/p?q;te=trailers;x-a=b;");
  EXPECT_TRUE(got(1).has_end);
  EXPECT_EQ(member().settings.at(NGHTTP2_SETTINGS_ENABLE_PUSH), 0U);
}

TEST_F(H2ClientTest, SendsBodiesAndTrailers) {
  connect();
  H2Call& sized = ask(Method::post, BodyKind::length, 3);
  EXPECT_TRUE(got(1).fields.ends_with("content-length=3;"));
  send_body(sized, "ab", false);
  EXPECT_FALSE(got(1).has_end);
  send_body(sized, "cd", true);
  EXPECT_EQ(got(1).body, "abc") << "no more than announced";
  EXPECT_TRUE(got(1).has_end);
  H2Call& open = ask(Method::post, BodyKind::unknown);
  send_body(open, "xy", false);
  driver_.turn([&] {
    HeaderBlock trailers;
    trailers.add("x-t", "1");
    open.stream->send_trailers(trailers);
  });
  listen();
  EXPECT_EQ(got(3).body, "xy");
  EXPECT_TRUE(got(3).fields.ends_with("x-t=1;")) << got(3).fields;
  EXPECT_TRUE(got(3).has_end);
}

TEST_F(H2ClientTest, WhatTheMemberDoesNotTakeIsUnsent) {
  connect();
  H2Call& call = ask(Method::post, BodyKind::unknown);
  const std::string much(200'000, 'x');
  send_body(call, much, true);
  EXPECT_EQ(got(1).body.size(), 65'535U);
  EXPECT_EQ(call.stream->unsent(), much.size() - 65'535);
  EXPECT_EQ(call.handler.drained, 0);
  says(h2_window(0, 1'000'000) + h2_window(1, 1'000'000));
  EXPECT_EQ(got(1).body.size(), much.size());
  EXPECT_EQ(call.handler.drained, 1);
  EXPECT_TRUE(got(1).has_end);
}

// ---- answers ----

TEST_F(H2ClientTest, AnswersOfStreamsThatShareIt) {
  connect();
  H2Call& a = ask();
  H2Call& b = ask();
  says(h2_headers(3, {{":status", "103"}, {"link", "x"}}, false) +
       h2_headers(3, {{":status", "404"}, {"x-b", "1"}}, false) +
       h2_headers(1, {{":status", "200"}}, false) + h2_data(3, "no", true) +
       h2_data(1, "yes", false) + h2_headers(1, {{"x-t", "1"}}, true));
  EXPECT_EQ(a.handler.events, "head 200; body yes; trailers x-t=1; end; ");
  EXPECT_EQ(b.handler.events, "head 103; head 404; body no; end; ");
  EXPECT_EQ(b.handler.fields, "link=x;x-b=1;");
}

TEST_F(H2ClientTest, AnswersWithoutABodyAreToldWithTheirEnd) {
  connect();
  H2Call& at_once = ask();
  H2Call& late = ask(Method::head);
  says(h2_headers(1, {{":status", "204"}}, true) +
       h2_headers(3, {{":status", "200"}, {"content-length", "5"}}, false));
  EXPECT_EQ(at_once.handler.events, "head 204; end; ");
  EXPECT_EQ(late.handler.events, "");
  says(h2_data(3, "", true));
  EXPECT_EQ(late.handler.events, "head 200; end; ");
}

TEST_F(H2ClientTest, WhoDoesNotReadHoldsBackNobodyElse) {
  connect();
  H2Call& slow = ask();
  H2Call& quick = ask();
  set_reading(slow, false);
  const std::string slice(16'000, 'x');
  std::string much = h2_headers(1, {{":status", "200"}}, false);
  for (int i = 0; i < 8; ++i)
    much += h2_data(1, slice, false);
  says(much);
  says(ok(3, slice));
  EXPECT_TRUE(quick.handler.has_end);
  EXPECT_EQ(member().windows[1], 0U) << "the stream's window stays used";
  set_reading(slow, true);
  EXPECT_EQ(member().windows[1], 8 * slice.size());
}

// ---- the end of streams ----

// Frames that the socket had no room for are made of what must still be there.
TEST_F(H2ClientTest, StreamsTakenBackWhileTheirFramesWait) {
  connect(h2_settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1U << 30U}}));
  says(h2_window(0, 1U << 30U));
  member_.peers.front()->reads = false;
  const std::string much(1'000'000, 'x');
  for (int i = 0; i < 20; ++i)
    send_body(ask(Method::post, BodyKind::unknown), much, false);
  const std::size_t before = driver_.loop.chunks().in_use();
  driver_.turn([&] {
    for (auto& call : calls_)
      release_now(*call);
  });
  EXPECT_LT(driver_.loop.chunks().in_use(), before / 4)
      << "not kept for a member that does not read";
  member_.peers.front()->reads = true;
  listen();
  H2Call& next = ask();
  says(ok(41));
  EXPECT_EQ(next.handler.events, "head 200; body ok; end; ");
}

TEST_F(H2ClientTest, WhatIsNotWantedAnyMoreIsTakenBack) {
  connect();
  H2Call& call = ask();
  says(h2_headers(1, {{":status", "200"}}, false));
  release(call);
  EXPECT_EQ(got(1).code, NGHTTP2_CANCEL);
  says(h2_data(1, "late", true));  // on its way already
  H2Call& next = ask();
  says(ok(3));
  EXPECT_EQ(next.handler.events, "head 200; body ok; end; ");
}

TEST_F(H2ClientTest, AWholeExchangeIsNotTakenBack) {
  connect();
  H2Call& call = ask();
  call.handler.at_end = [&](test::RecorderHandler&) {
    release_now(call);
  };
  says(ok(1));
  EXPECT_TRUE(call.handler.has_end);
  EXPECT_EQ(got(1).code, -1);
}

TEST_F(H2ClientTest, ResetsSayWhetherTheRequestMayBeSentAgain) {
  connect();
  H2Call& refused = ask();
  H2Call& silent = ask();
  H2Call& begun = ask();
  H2Call& other = ask();
  says(h2_reset(1, NGHTTP2_REFUSED_STREAM) + h2_reset(3, NGHTTP2_INTERNAL_ERROR) +
       h2_headers(5, {{":status", "200"}}, false) + h2_reset(5, NGHTTP2_CANCEL));
  EXPECT_EQ(refused.handler.error.retry, Retry::unsent);
  EXPECT_EQ(silent.handler.error.retry, Retry::idempotent);
  EXPECT_EQ(begun.handler.error.retry, Retry::no);
  for (const auto* call : {&refused, &silent, &begun})
    EXPECT_EQ(call->handler.error.reason, EndReason::upstream_reset);
  says(ok(7));
  EXPECT_EQ(other.handler.events, "head 200; body ok; end; ") << "the connection goes on";
}

TEST_F(H2ClientTest, GoawayLeavesWhatTheMemberHasSeen) {
  connect();
  H2Call& seen = ask();
  H2Call& unseen = ask();
  says(goaway(1));
  EXPECT_EQ(unseen.handler.error.retry, Retry::unsent);
  EXPECT_FALSE(client_->has_room());
  says(ok(1));
  EXPECT_EQ(seen.handler.events, "head 200; body ok; end; ");
  release(seen);
  release(unseen);
  EXPECT_TRUE(is_gone());
}

TEST_F(H2ClientTest, StreamsOfALostConnectionEndEachWithItsOwnWord) {
  connect(h2_settings({{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3}}));
  H2Call& begun = ask();
  H2Call& silent = ask();
  H2Call& unsent = lend();
  says(h2_headers(1, {{":status", "200"}}, false));
  member_.peers.front()->close();
  driver_.turn([&] {
    unsent.stream->begin(unsent.handler);
    Head head;
    head.clear();
    head.method_text = "GET";
    head.path = "/";
    unsent.stream->send_head(head, true);
  });
  ASSERT_TRUE(driver_.run_until([&] { return client_ == nullptr; }));
  EXPECT_EQ(begun.handler.error.retry, Retry::no);
  EXPECT_EQ(silent.handler.error.retry, Retry::idempotent);
  EXPECT_TRUE(unsent.handler.is_reset);
  // They may be used without harm until they are given back.
  send_body(silent, "x", true);
  set_reading(begun, true);
}

// ---- answers that break the rules ----

TEST_F(H2ClientTest, WhatBreaksTheRulesIsNotPassedOn) {
  const std::string good = h2_headers(1, {{":status", "200"}}, false);
  std::string interim;
  for (int i = 0; i < 17; ++i)
    interim += h2_headers(1, {{":status", "103"}}, false);
  const std::string cases[] = {
      h2_headers(1, {{":status", "101"}}, false),
      h2_headers(1, {{"x-a", "1"}}, true),
      h2_headers(1, {{":status", "20"}}, true),
      h2_headers(1, {{":status", "2000"}}, true),
      h2_headers(1, {{":status", "+20"}}, true),
      h2_headers(1, {{":status", "200"}, {":status", "200"}}, true),
      h2_headers(1, {{":status", "200"}, {":path", "/"}}, true),
      h2_headers(1, {{"x-a", "1"}, {":status", "200"}}, true),
      h2_headers(1, {{":status", "200"}, {"X-A", "1"}}, true),
      h2_headers(1, {{":status", "200"}, {"connection", "close"}}, true),
      h2_headers(1, {{":status", "200"}, {"transfer-encoding", "chunked"}}, false),
      h2_headers(1, {{":status", "200"}, {"x-a", "a\rb"}}, true),
      h2_headers(1, {{":status", "200"}, {"content-length", "1"}, {"content-length", "2"}}, false),
      h2_headers(1, {{":status", "200"}, {"content-length", "1"}}, true),
      h2_headers(1, {{":status", "200"}, {"content-length", "1"}}, false) + h2_data(1, "ab", true),
      h2_headers(1, {{":status", "200"}, {"content-length", "3"}}, false) + h2_data(1, "ab", true),
      h2_headers(1, {{":status", "103"}}, true),
      good + h2_headers(1, {{"x-t", "1"}}, false),
      good + h2_headers(1, {{":status", "200"}}, true),
      interim,
  };
  connect();
  std::uint32_t id = 1;
  for (const std::string& answer : cases) {
    H2Call& call = ask();
    std::string shifted;  // to the stream of this request
    for (std::size_t at = 0; at < answer.size();) {
      const std::size_t size = 9 + (static_cast<unsigned char>(answer[at + 1]) << 8 |
                                    static_cast<unsigned char>(answer[at + 2]));
      shifted += answer.substr(at, 5) + test::h2_number(id, 4) + answer.substr(at + 9, size - 9);
      at += size;
    }
    says(shifted);
    ASSERT_NE(client_, nullptr) << "case " << id / 2;
    EXPECT_TRUE(call.handler.is_reset) << "case " << id / 2 << ": " << call.handler.events;
    EXPECT_EQ(call.handler.error.reason, EndReason::upstream_protocol) << "case " << id / 2;
    EXPECT_NE(got(id).code, -1) << "case " << id / 2;
    release(call);
    id += 2;
  }
}

TEST_F(H2ClientTest, BodiesWithoutAHeadEndTheConnection) {
  connect();
  H2Call& call = ask();
  says(h2_data(1, "x", true));
  EXPECT_TRUE(driver_.run_until([&] { return call.handler.is_reset; }));
  EXPECT_EQ(call.handler.error.reason, EndReason::upstream_protocol);
  EXPECT_TRUE(is_gone());
}

// Also by members that have not acknowledged our settings: they have seen them before the request.
TEST_F(H2ClientTest, PushIsRefused) {
  member_.listen();
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1 && !member_.peers.empty(); }));
  H2Call& call = ask();
  says(h2_settings());
  says(h2_frame(NGHTTP2_PUSH_PROMISE, test::h2_end_headers, 1,
                test::h2_number(2, 4) + test::h2_hpack(test::h2_request("GET", "/pushed"))));
  EXPECT_TRUE(driver_.run_until([&] { return call.handler.is_reset; }));
  EXPECT_EQ(call.handler.error.reason, EndReason::upstream_protocol);
  EXPECT_TRUE(is_gone());
}

TEST_F(H2ClientTest, WhoSpeaksSomethingElseIsNotBelieved) {
  member_.listen();
  dial();
  ASSERT_TRUE(driver_.run_until([&] { return connected_ == 1 && !member_.peers.empty(); }));
  H2Call& call = ask();
  says("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(driver_.run_until([&] { return call.handler.is_reset; }));
  EXPECT_EQ(call.handler.error.reason, EndReason::upstream_protocol);
}

}  // namespace
}  // namespace portunus::http
