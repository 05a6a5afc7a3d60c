#include "http/grpc.h"

#include <gtest/gtest.h>

#include <string>

#include "base/arena.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;

TEST(Grpc, KnowsItsContentType) {
  for (const char* type :
       {"application/grpc", "application/grpc+proto", "application/grpc+json", "application/grpc+x",
        "Application/GRPC", "application/grpc;charset=utf-8", "application/grpc ; a=b",
        "application/grpc\t"}) {
    EXPECT_TRUE(is_grpc(type)) << type;
  }
  for (const char* type :
       {"", "application", "application/grp", "application/grpc-web", "application/grpc-web+proto",
        "application/grpc-web-text", "application/grpcx", "application/grpc/x", " application/grpc",
        "text/html, application/grpc", "application/json"}) {
    EXPECT_FALSE(is_grpc(type)) << type;
  }
}

struct Call {
  Call(Protocol protocol, Method method, std::string_view timeout = {}) {
    head.clear();
    head.protocol = protocol;
    head.method = method;
    head.fields.add(HeaderId::content_type, "application/grpc");
    if (!timeout.empty()) head.fields.add("grpc-timeout", timeout);
  }
  Head head;
};

TEST(Grpc, CallsArePostsOverHttp2) {
  EXPECT_TRUE(is_grpc_call(Call(Protocol::http2, Method::post).head));
  EXPECT_FALSE(is_grpc_call(Call(Protocol::http2, Method::get).head));
  EXPECT_FALSE(is_grpc_call(Call(Protocol::http11, Method::post).head));
  Head incomplete;
  incomplete.clear();
  incomplete.protocol = Protocol::http2;
  incomplete.method = Method::post;
  EXPECT_FALSE(is_grpc_call(incomplete));
}

TEST(Grpc, ReadsTimeouts) {
  struct Row {
    const char* value;
    std::uint64_t ms;
  };
  const Row rows[] = {{"1H", 3'600'000},  {"2M", 120'000},
                      {"3S", 3'000},      {"4m", 4},
                      {"0S", 0},          {"00000007m", 7},
                      {"1u", 1},          {"1000u", 1},
                      {"1001u", 2},       {"1n", 1},
                      {"1000000n", 1},    {"1000001n", 2},
                      {"99999999n", 100}, {"99999999H", 359'999'996'400'000}};
  for (const Row& row : rows) {
    const auto read = read_grpc_timeout(row.value);
    ASSERT_TRUE(read) << row.value;
    EXPECT_EQ(*read, row.ms) << row.value;
  }
  for (const char* value : {"", "S", "1", "10", "1s", "1h", "-1S", "+1S", "1.5S", " 1S", "1S ",
                            "1 S", "1Sm", "100000000m", "0x1S", "1\xc2"}) {
    EXPECT_FALSE(read_grpc_timeout(value)) << value;
  }
}

TEST(Grpc, TimeoutsAreOfCallsOnly) {
  EXPECT_EQ(grpc_timeout_ms(Call(Protocol::http2, Method::post, "2S").head), 2'000U);
  EXPECT_FALSE(grpc_timeout_ms(Call(Protocol::http2, Method::post).head));
  EXPECT_FALSE(grpc_timeout_ms(Call(Protocol::http2, Method::post, "soon").head));
  EXPECT_FALSE(grpc_timeout_ms(Call(Protocol::http11, Method::post, "2S").head));
  EXPECT_FALSE(grpc_timeout_ms(Call(Protocol::http2, Method::put, "2S").head));
}

TEST(Grpc, EachEndHasAStatus) {
  struct Row {
    EndReason reason;
    GrpcStatus status;
  };
  const Row rows[] = {
      {EndReason::client_closed, GrpcStatus::cancelled},
      {EndReason::client_timeout, GrpcStatus::deadline_exceeded},
      {EndReason::upstream_connect, GrpcStatus::unavailable},
      {EndReason::upstream_tls, GrpcStatus::unavailable},
      {EndReason::upstream_timeout, GrpcStatus::deadline_exceeded},
      {EndReason::upstream_reset, GrpcStatus::unavailable},
      {EndReason::upstream_protocol, GrpcStatus::internal},
      {EndReason::upstream_status, GrpcStatus::unavailable},
      {EndReason::no_healthy_upstream, GrpcStatus::unavailable},
      {EndReason::breaker_open, GrpcStatus::unavailable},
      {EndReason::queue_full, GrpcStatus::unavailable},
      {EndReason::auth_busy, GrpcStatus::unavailable},
      {EndReason::pool_full, GrpcStatus::unavailable},
      {EndReason::client_limited, GrpcStatus::resource_exhausted},
      {EndReason::overloaded, GrpcStatus::unavailable},
      {EndReason::queue_timeout, GrpcStatus::unavailable},
      {EndReason::rate_limited, GrpcStatus::resource_exhausted},
      {EndReason::rejected_request_line, GrpcStatus::internal},
      {EndReason::rejected_version, GrpcStatus::internal},
      {EndReason::rejected_target, GrpcStatus::internal},
      {EndReason::rejected_uri_length, GrpcStatus::resource_exhausted},
      {EndReason::rejected_host, GrpcStatus::internal},
      {EndReason::rejected_header, GrpcStatus::internal},
      {EndReason::rejected_header_size, GrpcStatus::resource_exhausted},
      {EndReason::rejected_framing, GrpcStatus::internal},
      {EndReason::rejected_transfer_coding, GrpcStatus::internal},
      {EndReason::rejected_chunk, GrpcStatus::internal},
      {EndReason::rejected_body_size, GrpcStatus::resource_exhausted},
      {EndReason::rejected_method, GrpcStatus::unimplemented},
      {EndReason::rejected_expect, GrpcStatus::internal},
      {EndReason::rejected_no_route, GrpcStatus::unimplemented},
      {EndReason::rejected_misdirected, GrpcStatus::unauthenticated},
      {EndReason::rejected_address, GrpcStatus::permission_denied},
      {EndReason::rejected_credentials, GrpcStatus::unauthenticated},
      {EndReason::rejected_forward_auth, GrpcStatus::permission_denied},
      {EndReason::internal, GrpcStatus::internal},
      {EndReason::shutdown, GrpcStatus::unavailable},
  };
  EXPECT_EQ(std::size(rows) + 1, base::kEndReasonCount);  // all but ok
  for (const Row& row : rows)
    EXPECT_EQ(grpc_status_of(row.reason), row.status) << base::name_of(row.reason);
}

TEST(Grpc, AnswersHeldBackAreJudgedByTheirStatus) {
  const auto status_of = [](std::uint16_t status) {
    return grpc_status_of(EndReason::upstream_status, status);
  };
  using Statuses = std::initializer_list<std::uint16_t>;
  for (const std::uint16_t status : Statuses{429, 502, 503, 504})
    EXPECT_EQ(status_of(status), GrpcStatus::unavailable) << status;
  for (const std::uint16_t status : Statuses{400, 431})
    EXPECT_EQ(status_of(status), GrpcStatus::internal) << status;
  EXPECT_EQ(status_of(401), GrpcStatus::unauthenticated);
  EXPECT_EQ(status_of(403), GrpcStatus::permission_denied);
  EXPECT_EQ(status_of(404), GrpcStatus::unimplemented);
  EXPECT_EQ(status_of(500), GrpcStatus::unknown);
}

TEST(Grpc, TellsWhyInTwoFields) {
  struct Row {
    const char* detail;
    const char* message;
  };
  const Row rows[] = {{"", "internal"},
                      {"it failed", "internal: it failed"},
                      {"100% sure", "internal: 100%25 sure"},
                      {"a\nb\x7f", "internal: a%0Ab%7F"},
                      {"\xc3\xa4 ~", "internal: %C3%A4 ~"}};
  for (const Row& row : rows) {
    base::ChunkPool chunks;
    base::Arena arena(chunks);
    HeaderBlock fields;
    const Error error{EndReason::internal, base::Side::internal, base::Retry::no, row.detail};
    ASSERT_TRUE(add_grpc_status(error, 0, arena, fields));
    ASSERT_EQ(fields.size(), 2U);
    EXPECT_EQ(fields.field(0).name(), "grpc-status");
    EXPECT_EQ(fields.field(0).value(), "13");
    EXPECT_EQ(fields.field(1).name(), "grpc-message");
    EXPECT_EQ(fields.field(1).value(), row.message);
  }
}

}  // namespace
}  // namespace portunus::http
