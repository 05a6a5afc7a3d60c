#include "http/reply.h"

#include <gtest/gtest.h>

#include <string>

#include "base/arena.h"

namespace portunus::http {
namespace {

using base::EndReason;

struct Reply {
  Reply(EndReason reason, std::uint16_t status, std::string_view accept, std::string_view id) {
    Head request;
    request.clear();
    if (!accept.empty()) request.fields.add(HeaderId::accept, accept);
    const base::Error error{reason, base::Side::client, base::Retry::no, "x"};
    head.arena = &arena;
    body = make_error_reply(error, status, accept == "-" ? nullptr : &request, id, head);
  }
  base::ChunkPool chunks;
  base::Arena arena{chunks};
  Head head;
  std::string body;
};

// A shortage passes; what is wrong with the request, or with the members, does not by itself.
TEST(Reply, AsksToComeBackAfterAShortage) {
  for (const EndReason reason : {EndReason::queue_full, EndReason::queue_timeout,
                                 EndReason::pool_full, EndReason::overloaded}) {
    const Reply reply(reason, 0, "", "id1");
    EXPECT_EQ(reply.head.status, 503);
    EXPECT_EQ(reply.head.fields.value_of(HeaderId::retry_after), "1");
  }
  EXPECT_EQ(Reply(EndReason::client_limited, 0, "", "").head.fields.value_of(HeaderId::retry_after),
            "1");
  for (const EndReason reason : {EndReason::upstream_timeout, EndReason::no_healthy_upstream,
                                 EndReason::rejected_header, EndReason::shutdown}) {
    const Reply reply(reason, 0, "", "id1");
    EXPECT_FALSE(reply.head.fields.has(HeaderId::retry_after)) << base::name_of(reason);
  }
}

TEST(Reply, SpeaksPlainTextOrJson) {
  const Reply plain(EndReason::upstream_timeout, 0, "", "id1");
  EXPECT_EQ(plain.head.status, 504);
  EXPECT_EQ(plain.body, "504 Gateway Timeout\nupstream_timeout\nrequest id1\n");
  EXPECT_EQ(plain.head.fields.value_of(HeaderId::content_type), "text/plain; charset=utf-8");
  const Reply json(EndReason::upstream_timeout, 0, "application/json", "id1");
  EXPECT_EQ(json.body,
            "{\"status\":504,\"error\":\"Gateway Timeout\",\"reason\":\"upstream_timeout\","
            "\"request_id\":\"id1\"}\n");
  EXPECT_EQ(json.head.fields.value_of(HeaderId::content_type), "application/json");
}

TEST(Reply, BrowsersGetText) {
  for (const char* accept : {"text/html,application/json", "*/*", "*/*, application/json", "-"}) {
    EXPECT_EQ(
        Reply(EndReason::internal, 0, accept, "").head.fields.value_of(HeaderId::content_type),
        "text/plain; charset=utf-8")
        << accept;
  }
}

TEST(Reply, SaysWhyAndHidesWho) {
  const Reply reply(EndReason::rejected_header_size, 0, "", "");
  EXPECT_EQ(reply.head.status, 431);
  EXPECT_EQ(reply.head.fields.value_of(HeaderId::proxy_status),
            "portunus; error=http_request_error; details=\"rejected_header_size\"");
  EXPECT_EQ(reply.head.fields.value_of(HeaderId::cache_control), "no-store");
  EXPECT_FALSE(reply.head.fields.has(HeaderId::x_request_id));
  EXPECT_EQ(reply.head.fields.find("server"), HeaderBlock::kNone);
  EXPECT_EQ(reply.head.body, BodyKind::length);
  EXPECT_EQ(reply.head.content_length, reply.body.size());
}

TEST(Reply, TakesAStatusOfTheCaller) {
  const Reply reply(EndReason::shutdown, 421, "", "");
  EXPECT_EQ(reply.head.status, 421);
  EXPECT_EQ(reply.body.substr(0, 4), "421 ");
}

// ---- calls of gRPC ----

struct CallReply {
  CallReply(EndReason reason, std::uint16_t status, std::string_view content_type) {
    call.clear();
    call.protocol = Protocol::http2;
    call.method = Method::post;
    call.fields.add(HeaderId::content_type, content_type);
    call.fields.add(HeaderId::accept, "application/json");
    error.reason = reason;
    head.arena = &arena;
    body = make_error_reply(error, status, &call, "id1", head);
  }
  std::string_view field(std::string_view name) {
    const std::size_t at = head.fields.find(name);
    return at == HeaderBlock::kNone ? "none" : head.fields.field(at).value();
  }
  base::ChunkPool chunks;
  base::Arena arena{chunks};
  base::Error error{EndReason::ok, base::Side::client, base::Retry::no, "nobody is up"};
  Head call;
  Head head;
  std::string body;
};

TEST(Reply, CallsGetAStatusOfTheirOwn) {
  CallReply reply(EndReason::no_healthy_upstream, 0, "application/grpc+proto");
  EXPECT_EQ(reply.head.status, 200);
  EXPECT_EQ(reply.body, "");
  EXPECT_EQ(reply.head.body, BodyKind::none);
  EXPECT_EQ(reply.field("content-type"), "application/grpc");
  EXPECT_EQ(reply.field("grpc-status"), "14");
  EXPECT_EQ(reply.field("grpc-message"), "no_healthy_upstream: nobody is up");
  EXPECT_EQ(reply.field("x-request-id"), "id1");
  EXPECT_EQ(reply.field("proxy-status"),
            "portunus; error=destination_unavailable; details=\"no_healthy_upstream\"");
  EXPECT_EQ(error_status(reply.error, reply.call), 200);
  EXPECT_EQ(CallReply(EndReason::upstream_status, 403, "application/grpc").field("grpc-status"),
            "7");
}

TEST(Reply, WhatIsNoCallGetsAStatusOfHttp) {
  CallReply web(EndReason::shutdown, 0, "application/grpc-web");
  EXPECT_EQ(web.head.status, 503);
  EXPECT_EQ(error_status(web.error, web.call), 503);
  EXPECT_EQ(web.field("grpc-status"), "none");
  // Nobody is there to get one.
  CallReply gone(EndReason::client_closed, 0, "application/grpc");
  EXPECT_EQ(error_status(gone.error, gone.call), 0);
}

}  // namespace
}  // namespace portunus::http
