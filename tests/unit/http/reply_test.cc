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

}  // namespace
}  // namespace portunus::http
