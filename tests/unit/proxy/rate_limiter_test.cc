// RateLimiter: which requests are counted together, and what clients are told.
#include "proxy/rate_limiter.h"

#include <gtest/gtest.h>

#include <string>

#include "base/chunk.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kRateNow = 1'000'000'000'000;

conf::RateLimit once_an_hour(conf::RateKey key = conf::RateKey::client_ip,
                             const std::string& name = {}) {
  conf::RateLimit rule;
  rule.requests = 1;
  rule.per = conf::Milliseconds(3'600'000);
  rule.burst = 1;
  rule.key = key;
  rule.key_name = name;
  return rule;
}

net::Address address(std::string_view text) {
  return net::Address::parse_ip(text, 4711).value();
}

class Request {
 public:
  explicit Request(std::string_view path = "/") : arena_(chunks_) {
    head.clear();
    head.arena = &arena_;
    head.path = path;
  }
  Request& with(http::HeaderId id, std::string_view value) {
    EXPECT_TRUE(head.fields.add(id, value));
    return *this;
  }
  Request& with(std::string_view name, std::string_view value) {
    EXPECT_TRUE(head.fields.add(name, value));
    return *this;
  }
  [[nodiscard]] base::Arena& arena() { return arena_; }
  http::Head head;

 private:
  base::ChunkPool chunks_;
  base::Arena arena_;
};

bool takes(RateLimiter& limiter, const Request& request, std::string_view client = "192.0.2.1") {
  return limiter.take(request.head, address(client), kRateNow).is_within;
}

TEST(RateLimiter, CountsByAddressWithoutThePort) {
  RateLimiter limiter("one", once_an_hour());
  const Request request;
  EXPECT_TRUE(takes(limiter, request, "192.0.2.1"));
  EXPECT_FALSE(limiter.take(request.head, net::Address::parse_ip("192.0.2.1", 1).value(), kRateNow)
                   .is_within);
  EXPECT_FALSE(takes(limiter, request, "::ffff:192.0.2.1")) << "the same address";
  EXPECT_TRUE(takes(limiter, request, "192.0.2.2"));
  EXPECT_EQ(limiter.refused(), 2U);
  EXPECT_EQ(limiter.evicted(), 0U);
  EXPECT_EQ(limiter.count_held(kRateNow), 2U);
}

TEST(RateLimiter, CountsNetworksOfIpv6) {
  struct Row {
    std::uint32_t prefix;
    const char* same;
    const char* other;
  };
  const Row rows[] = {{64, "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"},
                      {128, "2001:db8:0:1::1", "2001:db8:0:1::2"},
                      {56, "2001:db8:0:ff::1", "2001:db8:0:100::1"},
                      {60, "2001:db8:0:f::1", "2001:db8:0:10::1"},
                      {32, "2001:db8:ffff::1", "2001:db9::1"}};
  for (const Row& row : rows) {
    conf::RateLimit rule = once_an_hour();
    rule.ipv6_prefix = row.prefix;
    RateLimiter limiter("one", rule);
    EXPECT_TRUE(takes(limiter, Request(), "2001:db8:0:1::1"));
    EXPECT_FALSE(takes(limiter, Request(), row.same)) << row.prefix;
    EXPECT_TRUE(takes(limiter, Request(), row.other)) << row.prefix;
  }
}

TEST(RateLimiter, CountsByHeader) {
  RateLimiter limiter("one", once_an_hour(conf::RateKey::header, "x-key"));
  EXPECT_TRUE(takes(limiter, Request().with("x-key", "a"), "192.0.2.1"));
  EXPECT_FALSE(takes(limiter, Request().with("x-key", "a"), "192.0.2.2"));
  EXPECT_TRUE(takes(limiter, Request().with("x-key", "b"), "192.0.2.1"));
  const std::string huge(60'000, 'k');
  EXPECT_TRUE(takes(limiter, Request().with("x-key", huge)));
  EXPECT_FALSE(takes(limiter, Request().with("x-key", huge)));
  EXPECT_TRUE(takes(limiter, Request().with("x-key", huge + 'x')));
}

TEST(RateLimiter, WithoutTheFieldTheAddressCounts) {
  RateLimiter limiter("one", once_an_hour(conf::RateKey::header, "x-key"));
  EXPECT_TRUE(takes(limiter, Request(), "192.0.2.1"));
  EXPECT_FALSE(takes(limiter, Request(), "192.0.2.1"));
  EXPECT_FALSE(takes(limiter, Request().with("x-key", ""), "192.0.2.1"));
  EXPECT_TRUE(takes(limiter, Request(), "192.0.2.2"));
  // The bytes of an address, sent by a client, are not that address.
  EXPECT_TRUE(takes(limiter, Request().with("x-key", std::string_view("\xc0\0\2\1", 4))));
}

TEST(RateLimiter, CountsByCookieAndByPath) {
  RateLimiter by_cookie("one", once_an_hour(conf::RateKey::cookie, "id"));
  EXPECT_TRUE(takes(by_cookie, Request().with(http::HeaderId::cookie, "x=1; id=a")));
  EXPECT_FALSE(takes(by_cookie, Request().with(http::HeaderId::cookie, "id=a; x=2")));
  EXPECT_TRUE(takes(by_cookie, Request().with(http::HeaderId::cookie, "id=b")));
  EXPECT_TRUE(takes(by_cookie, Request().with(http::HeaderId::cookie, "x=1")));
  EXPECT_FALSE(takes(by_cookie, Request()));
  RateLimiter by_path("one", once_an_hour(conf::RateKey::path));
  EXPECT_TRUE(takes(by_path, Request("/a"), "192.0.2.1"));
  EXPECT_FALSE(takes(by_path, Request("/a"), "192.0.2.2"));
  EXPECT_TRUE(takes(by_path, Request("/b"), "192.0.2.1"));
}

TEST(RateLimiter, TwoLimitersHashDifferently) {
  // With one secret for all, who has found keys that collide in one has found them for all.
  constexpr int kKeys = 2000;
  conf::RateLimit rule = once_an_hour(conf::RateKey::path);
  rule.keys = 1000;  // 256 sets: evictions tell where keys lie
  RateLimiter a("a", rule);
  RateLimiter b("b", rule);
  int differing = 0;
  for (int i = 0; i < kKeys; ++i) {
    const std::string path = "/" + std::to_string(i);
    const Request request(path);
    const bool in_a = a.take(request.head, address("192.0.2.1"), kRateNow).has_evicted;
    const bool in_b = b.take(request.head, address("192.0.2.1"), kRateNow).has_evicted;
    differing += in_a != in_b ? 1 : 0;
  }
  EXPECT_GT(differing, 100);
}

TEST(RateLimiter, TellsClientsInFields) {
  struct Row {
    std::uint64_t requests;
    int per_s;
    std::uint64_t burst;
    const char* policy;
    const char* first;
  };
  const Row rows[] = {
      {100, 1, 200, "\"default\";q=200;w=2", "\"default\";r=199;t=1"},
      {100, 1, 10, "\"default\";q=100;w=1", "\"default\";r=9;t=1"},
      {600, 60, 600, "\"default\";q=600;w=60", "\"default\";r=599;t=1"},
      {1'000'000, 86'400, 1'000'000, "\"default\";q=1000000;w=86400", "\"default\";r=999999;t=1"},
      {1, 3600, 5, "\"default\";q=5;w=18000", "\"default\";r=4;t=3600"}};
  for (const Row& row : rows) {
    conf::RateLimit rule;
    rule.requests = row.requests;
    rule.per = conf::Milliseconds(row.per_s * 1000);
    rule.burst = row.burst;
    RateLimiter limiter("one", rule);
    Request request;
    const auto verdict = limiter.take(request.head, address("192.0.2.1"), kRateNow);
    http::HeaderBlock fields;
    ASSERT_TRUE(limiter.add_rate_fields(verdict, request.arena(), fields));
    EXPECT_EQ(fields.field(fields.find("ratelimit-policy")).value(), row.policy);
    EXPECT_EQ(fields.field(fields.find("ratelimit")).value(), row.first);
  }
}

TEST(RateLimiter, TellsWhenToComeBack) {
  RateLimiter limiter("one", once_an_hour());
  Request request;
  ASSERT_TRUE(limiter.take(request.head, address("192.0.2.1"), kRateNow).is_within);
  const auto verdict = limiter.take(request.head, address("192.0.2.1"), kRateNow + 1'500'000'000);
  ASSERT_FALSE(verdict.is_within);
  http::HeaderBlock fields;
  ASSERT_TRUE(limiter.add_retry_after(verdict, request.arena(), fields));
  ASSERT_TRUE(limiter.add_rate_fields(verdict, request.arena(), fields));
  EXPECT_EQ(fields.value_of(http::HeaderId::retry_after), "3599");
  EXPECT_EQ(fields.field(fields.find("ratelimit")).value(), "\"default\";r=0;t=3599");
}

}  // namespace
}  // namespace portunus::proxy
