// HTTP/2 in the configuration: what members speak, probes by gRPC, and budgets of connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

using testing::HasSubstr;

LoadResult load_pool(const std::string& keys) {
  return load_text(
      "pools: { one: { upstreams: [127.0.0.1:1], " + keys + " } }\nsites: { '*': { pool: one } }\n",
      "test.yaml");
}

Pool pool_of(const std::string& keys) {
  const LoadResult result = load_pool(keys);
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return result.model == nullptr ? Pool{} : result.model->pools[0];
}

std::string errors_of_pool(const std::string& keys) {
  const LoadResult result = load_pool(keys);
  EXPECT_EQ(result.model, nullptr) << keys;
  return format_text(result.diagnostics);
}

TEST(LoadH2, WhatMembersSpeak) {
  EXPECT_EQ(pool_of("balance: round_robin").protocol, UpstreamProtocol::h1);
  const Pool clear = pool_of("protocol: h2c");
  EXPECT_EQ(clear.protocol, UpstreamProtocol::h2c);
  EXPECT_TRUE(clear.health.speaks_h2);
  EXPECT_FALSE(pool_of("protocol: h2c, health: { path: /, port: 9 }").health.speaks_h2)
      << "another port, of which nothing is said";
  const Pool sealed = pool_of("protocol: h2, tls: { verify: false }, health: { path: /, port: 9 }");
  EXPECT_EQ(sealed.protocol, UpstreamProtocol::h2);
  EXPECT_TRUE(sealed.health.speaks_h2);
}

TEST(LoadH2, WhatMembersCannotSpeak) {
  EXPECT_THAT(errors_of_pool("protocol: h3"), HasSubstr("`h1`, `h2` or `h2c`"));
  EXPECT_THAT(errors_of_pool("protocol: h2"), HasSubstr("`h2c` is HTTP/2 in the clear"));
  EXPECT_THAT(errors_of_pool("protocol: h2c, tls: { verify: false }"),
              HasSubstr("`h2` is HTTP/2 over TLS"));
  EXPECT_THAT(errors_of_pool("protocol: h2c, proxy_protocol: v2"), HasSubstr("many share it"));
}

TEST(LoadH2, ProbesByGrpc) {
  const Pool whole = pool_of("protocol: h2c, health: { grpc: true }");
  EXPECT_EQ(whole.health.kind, ProbeKind::grpc);
  EXPECT_EQ(whole.health.path, "");
  const Pool part = pool_of("health: { grpc: my.package.Service }");
  EXPECT_EQ(part.health.path, "my.package.Service");
  EXPECT_TRUE(part.health.speaks_h2);
}

TEST(LoadH2, ProbesByGrpcThatAreWrong) {
  EXPECT_THAT(errors_of_pool("health: { grpc: false }"), HasSubstr("expected `true`"));
  EXPECT_THAT(errors_of_pool("health: { grpc: \"\" }"), HasSubstr("expected `true`"));
  EXPECT_THAT(errors_of_pool("health: { grpc: " + std::string(128, 'x') + " }"),
              HasSubstr("expected `true`"));
  EXPECT_THAT(errors_of_pool("health: { grpc: true, path: / }"), HasSubstr("excludes `path`"));
  EXPECT_THAT(errors_of_pool("health: { grpc: true, tcp: true }"), HasSubstr("excludes `path`"));
  EXPECT_THAT(errors_of_pool("health: { grpc: true, expect: { body: x } }"),
              HasSubstr("this needs an HTTP probe"));
  EXPECT_THAT(errors_of_pool("tls: { verify: false }, health: { grpc: true }"),
              HasSubstr("give the pool `protocol: h2`"));
}

TEST(LoadH2, BudgetsKeepWhatIsNotGiven) {
  const LoadResult result = load_text(
      "limits: { h2_budgets: { pings: { burst: 7 }, streams: { burst: 1, per_second: 0 } } }\n"
      "sites: { '*': { respond: {} } }\n",
      "test.yaml");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  H2Budgets expected;
  expected.pings.burst = 7;
  expected.streams = {1, 0};
  EXPECT_EQ(result.model->limits.h2_budgets, expected);
}

}  // namespace
}  // namespace portunus::conf
