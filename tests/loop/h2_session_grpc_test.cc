// Calls of gRPC that the stream itself answers: one HEADERS frame that ends it, and no body.
#include "tests/loop/h2_session_fixture.h"

namespace portunus::http {
namespace {

class H2Grpc : public H2SessionTest {
 protected:
  static H2Fields call(const H2Fields& more = {}) {
    H2Fields fields = h2_request("POST", "/pkg.Service/Method",
                                 {{"content-type", "application/grpc"}, {"te", "trailers"}});
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }
  static void expect_call_end(const H2Reader::Stream& stream,
                              const std::string& status,
                              const std::string& reason) {
    EXPECT_EQ(stream.status, "200");
    for (const std::string& field :
         {std::string("content-type=application/grpc;"), "grpc-status=" + status + ";",
          "grpc-message=" + reason, std::string("proxy-status=portunus; "),
          std::string("x-request-id=")}) {
      EXPECT_NE(stream.fields.find(field), std::string::npos) << field << " in " << stream.fields;
    }
    EXPECT_EQ(stream.fields.find("content-length"), std::string::npos);
    EXPECT_EQ(stream.trailers, "");
    EXPECT_EQ(stream.data_frames, 0U);
    EXPECT_TRUE(stream.has_end);
  }
};

TEST_F(H2Grpc, WhatIsRefusedEndsWithItsHead) {
  auto peer = connect();
  talk(*peer, h2_headers(1, call({{"host", "other"}}), false) + h2_data(1, "abc", true));
  expect_call_end(peer->stream(1), "13", "rejected_host: ");
  EXPECT_EQ(peer->stream(1).code, -1);
  EXPECT_EQ(refused_, "rejected_host 200; ");
  EXPECT_TRUE(peer->reader.goaways.empty());
  EXPECT_EQ(shared_.streams.live(), 0U);
}

TEST_F(H2Grpc, TooManyFields) {
  context_.limits.header_count = 5;
  auto peer = connect();
  talk(*peer, h2_headers(1, call({{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}), true));
  expect_call_end(peer->stream(1), "8", "rejected_header_size: ");
  EXPECT_EQ(refused_, "rejected_header_size 200; ");
}

TEST_F(H2Grpc, AClientThatDoesNotGoOn) {
  context_.body_ms = 200;
  auto peer = connect();
  // As forwarding.h does.
  at_head_ = [](RecorderHandler& handler) {
    const_cast<Head*>(handler.last)->fields.add(HeaderId::x_request_id, "its-id");
  };
  talk(*peer, h2_headers(1, call(), false) + h2_data(1, "abc", false));
  EXPECT_TRUE(driver_.run_until([&] {
    peer->reader.feed(peer->socket->take());
    return peer->stream(1).has_end;
  }));
  expect_call_end(peer->stream(1), "4", "client_timeout");
  EXPECT_NE(peer->stream(1).fields.find("x-request-id=its-id;"), std::string::npos);
  EXPECT_EQ(last().events, "head POST /pkg.Service/Method; body abc; reset client_timeout; ");
}

// Its silence is the member's business once that has begun to answer; until then it is the client's.
TEST_F(H2Grpc, AClientMayListenWhileItIsAnswered) {
  context_.body_ms = 100;
  at_end_ = nullptr;
  auto peer = connect();
  talk(*peer, h2_headers(1, call(), false) + h2_data(1, "abc", false) +
                  h2_headers(3, call(), false) + h2_data(3, "abc", false));
  send_head(*handlers_[0], 200, BodyKind::unknown);
  EXPECT_TRUE(driver_.run_until([&] { return handlers_[1]->is_reset; }));
  EXPECT_EQ(handlers_[1]->error.reason, EndReason::client_timeout);
  EXPECT_FALSE(driver_.run_until([&] { return handlers_[0]->is_reset; }, 500));
  // A client that does not read is another matter.
  context_.write_ms = 100;
  peer->socket->reads = false;
  driver_.turn([&] {
    const std::string much(8'000'000, 'a');
    handlers_[0]->stream->send_body({much.data(), much.size()}, false);
  });
  EXPECT_TRUE(driver_.run_until([&] { return handlers_[0]->is_reset; }));
  EXPECT_EQ(handlers_[0]->error.reason, EndReason::client_timeout);
}

TEST_F(H2Grpc, OthersGetAnswersOfHttp) {
  auto peer = connect();
  H2Fields web = h2_request("POST", "/", {{"content-type", "application/grpc-web"}});
  web.emplace_back("host", "other");
  talk(*peer, h2_headers(1, web, true));
  EXPECT_EQ(peer->stream(1).status, "400");
  EXPECT_NE(peer->stream(1).body, "");
  EXPECT_EQ(peer->stream(1).fields.find("grpc-"), std::string::npos);
}

}  // namespace
}  // namespace portunus::http
