// Which member a request to the admin API means, and what it wants.
#include "proxy/admin_members.h"

#include <gtest/gtest.h>

namespace portunus::proxy {
namespace {

TEST(AdminMembers, FindsPoolMemberAndVerb) {
  auto path = parse_member_path("/v1/pools/web/upstreams/10.0.0.4:80/drain");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->pool, "web");
  EXPECT_EQ(path->member, "10.0.0.4:80");
  EXPECT_EQ(path->verb, "drain");
  path = parse_member_path("/v1/pools/http%3A%2F%2F%2A.shop/upstreams/%5B%3A%3A1%5D:80");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->pool, "http://*.shop");
  EXPECT_EQ(path->member, "[::1]:80");
  EXPECT_EQ(path->verb, "");
  path = parse_member_path("/v1/pools/a/upstreams/b/upstreams/c:1/weight");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->pool, "a/upstreams/b");
  EXPECT_EQ(path->member, "c:1");
  path = parse_member_path("/v1/pools/a/upstreams/b%2/drain/now");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->member, "b%2");
  EXPECT_EQ(path->verb, "drain/now");
  EXPECT_FALSE(command_of(path->verb));
}

TEST(AdminMembers, OtherPathsAreNone) {
  for (const char* other : {"/v1/pools", "/v1/pools/web", "/v1/pools/upstreams/x",
                            "/v1/pools/web/upstreams/", "/v1/pools/web/upstreams//drain",
                            "/v1/pools/web/upstreams/x/", "/v2/pools/web/upstreams/x/drain"}) {
    EXPECT_FALSE(parse_member_path(other)) << other;
  }
}

TEST(AdminMembers, KnowsItsCommands) {
  EXPECT_EQ(command_of("drain"), MemberCommand::drain);
  EXPECT_EQ(command_of("enable"), MemberCommand::enable);
  EXPECT_EQ(command_of("disable"), MemberCommand::disable);
  EXPECT_EQ(command_of("weight"), MemberCommand::weigh);
  EXPECT_FALSE(command_of(""));
  EXPECT_FALSE(command_of("Drain"));
}

TEST(AdminMembers, ReadsAWeight) {
  EXPECT_EQ(parse_weight("{\"weight\":5}"), 5U);
  EXPECT_EQ(parse_weight(" {\"weight\": 1000, \"x\": 1} "), 1000U);
  EXPECT_EQ(parse_weight("{\"weight\":null}"), 0U);
  for (const char* bad : {"", "5", "{}", "{\"weight\":0}", "{\"weight\":1001}", "{\"weight\":-1}",
                          "{\"weight\":1.5}", "{\"weight\":\"5\"}", "{\"weight\":5", "[5]"}) {
    EXPECT_FALSE(parse_weight(bad)) << bad;
  }
}

TEST(AdminMembers, ReadsHowLongToWait) {
  EXPECT_EQ(parse_wait(""), 0U);
  EXPECT_EQ(parse_wait("wait=30s"), 30'000U);
  for (const char* bad : {"wait=", "wait=0s", "wait=30", "wait=2h", "wait=-1s", "x=1", "wait"})
    EXPECT_FALSE(parse_wait(bad)) << bad;
}

}  // namespace
}  // namespace portunus::proxy
