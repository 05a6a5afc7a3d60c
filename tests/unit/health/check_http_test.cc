#include "health/check_http.h"

#include <gtest/gtest.h>

#include <vector>

namespace portunus::health {
namespace {

using base::EndReason;
using base::Retry;
using base::Side;

conf::Health http_settings() {
  conf::Health settings;
  settings.kind = conf::ProbeKind::http;
  settings.path = "/health?deep=1";
  return settings;
}

CheckResult judge(const conf::Health& settings,
                  std::uint16_t status,
                  std::string_view body = {},
                  base::Error error = {},
                  bool is_truncated = false) {
  http::Head head;
  head.status = status;
  return judge_answer(settings,
                      {.error = error, .head = &head, .body = body, .is_truncated = is_truncated});
}

TEST(HttpCheck, RequestOfSettings) {
  conf::Health settings = http_settings();
  settings.timeout = conf::Milliseconds{1'500};
  const auto address = net::Address::parse_ip("127.0.0.1", 81).value();
  http::FetchRequest request = request_of_check(settings, address, "app1:80");
  EXPECT_EQ(request.address.port(), 81);
  EXPECT_EQ(request.host, "app1:80");
  EXPECT_EQ(request.target, "/health?deep=1");
  EXPECT_EQ(request.user_agent, "portunus-probe");
  EXPECT_EQ(request.timeout_ms, 1'500U);
  EXPECT_EQ(request.body_max, 0U);  // the head decides
  settings.host = "health.example";
  settings.expect_body = "ok";
  request = request_of_check(settings, address, "app1:80");
  EXPECT_EQ(request.host, "health.example");
  EXPECT_EQ(request.body_max, kBodyMax);
}

TEST(HttpCheck, StatusRanges) {
  conf::Health settings = http_settings();
  settings.expect_status = {{200, 204}, {418, 418}};
  for (const std::uint16_t status : std::vector<std::uint16_t>{200, 204, 418}) {
    const CheckResult result = judge(settings, status);
    EXPECT_EQ(result.verdict, Verdict::good) << status;
    EXPECT_EQ(result.status, status);
  }
  for (const std::uint16_t status : std::vector<std::uint16_t>{199, 205, 417, 419, 503}) {
    const CheckResult result = judge(settings, status);
    EXPECT_EQ(result.verdict, Verdict::bad) << status;
    EXPECT_EQ(result.detail, "unexpected status " + std::to_string(status));
  }
}

TEST(HttpCheck, Body) {
  conf::Health settings = http_settings();
  settings.expect_body = "\"status\":\"healthy\"";
  EXPECT_EQ(judge(settings, 200, "{\"status\":\"healthy\"}").verdict, Verdict::good);
  EXPECT_EQ(judge(settings, 200, "{}").verdict, Verdict::bad);
  EXPECT_EQ(judge(settings, 503, "{\"status\":\"healthy\"}").verdict, Verdict::bad);
  EXPECT_NE(judge(settings, 200, "x", {}, true).detail.find("64 KiB"), std::string::npos);
  const base::Error cut{EndReason::upstream_reset, Side::upstream, Retry::no, "broke off"};
  EXPECT_EQ(judge(settings, 200, "{\"status\":\"healthy\"", cut).verdict, Verdict::good);
  const CheckResult result = judge(settings, 200, "{", cut);
  EXPECT_EQ(result.verdict, Verdict::bad);
  EXPECT_EQ(result.detail, "broke off");
  EXPECT_EQ(result.status, 200);
}

TEST(HttpCheck, Failures) {
  const base::Error refused{EndReason::upstream_connect, Side::upstream, Retry::unsent, "refused"};
  EXPECT_EQ(judge_failure(refused, false).verdict, Verdict::bad);
  EXPECT_EQ(judge_failure(refused, true).verdict, Verdict::unjudged);
  EXPECT_TRUE(judge_failure(refused, true).is_late);
  const base::Error ours{EndReason::upstream_connect, Side::internal, Retry::unsent, "descriptors"};
  const CheckResult result = judge_answer(http_settings(), {.error = ours});
  EXPECT_EQ(result.verdict, Verdict::unjudged);
  EXPECT_FALSE(result.is_late);
  EXPECT_EQ(result.detail, "descriptors");
  const base::Error tls{EndReason::upstream_tls, Side::upstream, Retry::unsent, "it has expired"};
  EXPECT_EQ(judge_failure(tls, false).verdict, Verdict::bad);
  EXPECT_EQ(judge_failure(tls, false).detail, "TLS: it has expired");
  EXPECT_EQ(judge_failure(http::kTlsTimeout, false).detail, "the TLS handshake timed out");
}

}  // namespace
}  // namespace portunus::health
