#include "discovery/consul_request.h"

#include <gtest/gtest.h>

namespace portunus::discovery {
namespace {

TEST(ConsulRequest, TheFirstQuestionDoesNotWait) {
  EXPECT_EQ(health_target({.service = "web"}, 0, 60'000, Consistency::usual),
            "/v1/health/service/web");
  EXPECT_EQ(health_target({.service = "web"}, 7, 60'000, Consistency::usual),
            "/v1/health/service/web?index=7&wait=60000ms");
}

TEST(ConsulRequest, EveryPartOfAQueryIsAskedForAndEscaped) {
  ServiceQuery query;
  query.service = "a/b?c";
  query.tags = {"one", "two&"};
  query.node_meta = {{"rack", "7"}, {"zone", "a b"}};
  query.filter = "Service.Port == 80";
  query.datacenter = "dc1";
  query.name_space = "ns";
  query.partition = "p";
  query.near = "_agent";
  EXPECT_EQ(health_target(query, 0, 0, Consistency::stale),
            "/v1/health/service/a%2Fb%3Fc?stale&tag=one&tag=two%26&node-meta=rack%3A7"
            "&node-meta=zone%3Aa%20b&filter=Service.Port%20%3D%3D%2080&dc=dc1&ns=ns&partition=p"
            "&near=_agent");
  EXPECT_EQ(health_target({.service = "web"}, 0, 0, Consistency::consistent),
            "/v1/health/service/web?consistent");
}

TEST(ConsulRequest, AnAgentMayTakeASixteenthLonger) {
  EXPECT_EQ(answer_limit_ms(0, 60'000, 5'000), 5'000U);
  EXPECT_EQ(answer_limit_ms(1, 60'000, 5'000), 68'750U);
}

TEST(ConsulRequest, TheHeadOfAnAnswer) {
  http::HeaderBlock fields;
  EXPECT_FALSE(read_answer_head(fields).has_value());
  fields.set("x-consul-index", "0");
  EXPECT_EQ(read_answer_head(fields)->index, 1U) << "0 would never wait";
  for (const char* wrong : {"", "-1", "1x", "99999999999999999999999"}) {
    fields.set("x-consul-index", wrong);
    EXPECT_FALSE(read_answer_head(fields).has_value()) << wrong;
  }
  fields.set("x-consul-index", "42");
  const auto plain = read_answer_head(fields);
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->index, 42U);
  EXPECT_TRUE(plain->knows_leader);
  EXPECT_FALSE(plain->is_filtered);
  fields.set("x-consul-knownleader", "false");
  fields.set("x-consul-lastcontact", "1234");
  fields.set("x-consul-results-filtered-by-acls", "true");
  const auto odd = read_answer_head(fields);
  ASSERT_TRUE(odd.has_value());
  EXPECT_FALSE(odd->knows_leader);
  EXPECT_EQ(odd->last_contact_ms, 1234U);
  EXPECT_TRUE(odd->is_filtered);
}

}  // namespace
}  // namespace portunus::discovery
