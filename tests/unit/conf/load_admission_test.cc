// Rate limits and lists of addresses in the configuration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

LoadResult load_site(const std::string& keys) {
  return load_text("sites: { '*': { respond: {}, " + keys + " } }\n", "test.yaml");
}

Site site_of(const std::string& keys) {
  const LoadResult result = load_site(keys);
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return result.model == nullptr ? Site{} : result.model->sites[0];
}

RateLimit limit_of(const std::string& value) {
  return site_of("rate_limit: " + value).rate_limit.value_or(RateLimit{});
}

std::string admission_errors(const std::string& keys) {
  const LoadResult result = load_site(keys);
  EXPECT_EQ(result.model, nullptr) << keys;
  return format_text(result.diagnostics);
}

TEST(LoadRateLimit, EveryKey) {
  RateLimit expected;
  expected.requests = 600;
  expected.per = Milliseconds(60'000);
  expected.burst = 50;
  expected.key = RateKey::header;
  expected.key_name = "x-api-key";
  expected.ipv6_prefix = 48;
  expected.keys = 5000;
  expected.headers = RateHeaders::all;
  expected.report_only = true;
  EXPECT_EQ(limit_of("{ rate: 600/m, burst: 50, key: 'header:X-Api-Key', ipv6_prefix: 48, "
                     "keys: 5000, headers: all, report_only: true }"),
            expected);
}

TEST(LoadRateLimit, WhatIsNotGiven) {
  RateLimit expected;
  expected.requests = 100;
  expected.per = Milliseconds(1000);
  expected.burst = 100;
  EXPECT_EQ(limit_of("100/s"), expected);
  EXPECT_EQ(limit_of("{ rate: 100/s }"), expected);
  EXPECT_EQ(limit_of("1000/h").per, Milliseconds(3'600'000));
  EXPECT_EQ(limit_of("7/d").per, Milliseconds(86'400'000));
  EXPECT_EQ(limit_of("{ rate: 1/s, key: 'cookie:Id' }").key_name, "Id");
  EXPECT_EQ(limit_of("{ rate: 1/s, key: path }").key, RateKey::path);
  EXPECT_FALSE(site_of("aliases: []").rate_limit.has_value());
}

TEST(LoadRateLimit, Nonsense) {
  struct Row {
    const char* value;
    const char* message;
  };
  const Row rows[] = {
      {"0/s", "from 1 to 1000000 requests"},
      {"{ rate: 0/m }", "from 1 to 1000000 requests"},
      {"1000001/s", "from 1 to 1000000 requests"},
      {"99999999999999999999/s", "expected a rate such as"},
      {"-1/s", "expected a rate such as"},
      {"1.5/s", "expected a rate such as"},
      {"100", "has no unit: write `100/s`"},
      {"100/w", "`/w` is not a unit here"},
      {"100/ s", "is not a unit here"},
      {"/s", "expected a rate such as"},
      {"off", "expected a rate such as"},
      {"{ burst: 1 }", "`rate`"},
      {"{ rate: 1/s, burst: 0 }", "from 1 to 1000000"},
      {"{ rate: 1/s, burst: 1000001 }", "from 1 to 1000000"},
      {"{ rate: 1/d, burst: 31 }", "31 days"},
      {"{ rate: 1/s, key: header }", "expected `client_ip`"},
      {"{ rate: 1/s, key: 'header:' }", "expected `client_ip`"},
      {"{ rate: 1/s, key: 'header:a b' }", "expected `client_ip`"},
      {"{ rate: 1/s, key: 'cookie:' }", "expected `client_ip`"},
      {"{ rate: 1/s, ipv6_prefix: 129 }", "from 16 to 128"},
      {"{ rate: 1/s, keys: 0 }", "from 1000 to 10000000"},
      {"{ rate: 1/s, keys: 10000001 }", "from 1000 to 10000000"},
      {"{ rate: 1/s, headers: some }", "`off`, `limited` or `all`"},
      {"{ rate: 1/s, per: client }", "unknown key `per`"},
  };
  for (const Row& row : rows)
    EXPECT_THAT(admission_errors(std::string("rate_limit: ") + row.value), HasSubstr(row.message))
        << row.value;
}

TEST(LoadRateLimit, ARouteHasItsOwnTheSitesOrNone) {
  const Site site = site_of(
      "rate_limit: 5/s, routes: [{ match: { path: /a }, respond: {}, rate_limit: 1/s }, { match: { "
      "path: /b }, respond: {}, rate_limit: off }, { match: { path: /c }, respond: {} }]");
  ASSERT_EQ(site.routes.size(), 4U);
  EXPECT_EQ(site.routes[0].rate_limit->requests, 1U);
  EXPECT_FALSE(site.routes[0].has_site_limit);
  EXPECT_FALSE(site.routes[1].rate_limit.has_value());
  EXPECT_FALSE(site.routes[1].has_site_limit);
  EXPECT_FALSE(site.routes[2].rate_limit.has_value());
  EXPECT_TRUE(site.routes[2].has_site_limit);
  EXPECT_TRUE(site.routes[3].has_site_limit);
}

TEST(LoadRateLimit, AllTogetherHaveABound) {
  std::string routes;
  for (int i = 0; i < 6; ++i)
    routes += "{ match: { path: /" + std::to_string(i) +
              " }, respond: {}, rate_limit: { rate: 1/s, keys: 10000000 } },";
  EXPECT_THAT(admission_errors("routes: [" + routes + "]"), HasSubstr("more than 50000000 keys"));
}

TEST(LoadAddresses, OfSitesAndRoutes) {
  const Site site = site_of(
      "allow: [10.0.0.0/8, '2001:db8::/32'], deny: 10.1.2.3, routes: [{ respond: {}, allow: "
      "10.2.0.0/16, deny: [10.2.0.1] }]");
  EXPECT_THAT(site.addresses.allowed, ElementsAre("10.0.0.0/8", "2001:db8::/32"));
  EXPECT_THAT(site.addresses.denied, ElementsAre("10.1.2.3"));
  EXPECT_THAT(site.routes[0].addresses.allowed, ElementsAre("10.2.0.0/16"));
  EXPECT_THAT(site.routes[0].addresses.denied, ElementsAre("10.2.0.1"));
}

TEST(LoadAddresses, Nonsense) {
  for (const char* key : {"allow", "deny"}) {
    const auto errors = [key](const std::string& value) {
      return admission_errors(std::string(key) + ": " + value);
    };
    EXPECT_THAT(errors("[]"), HasSubstr("the list is empty"));
    EXPECT_THAT(errors("[10.0.0.0/33]"), HasSubstr("prefix length"));
    EXPECT_THAT(errors("[example.org]"), HasSubstr("not an IP address"));
    EXPECT_THAT(errors("all"), HasSubstr("not an IP address"));
    EXPECT_THAT(errors("{ a: b }"), HasSubstr(key));
  }
}

}  // namespace
}  // namespace portunus::conf
