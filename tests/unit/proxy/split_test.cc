#include "proxy/split.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace portunus::proxy {
namespace {

using conf::SplitBy;

struct Asked {
  explicit Asked(std::string_view name = {}, std::string_view value = {}) {
    head.clear();
    if (name.empty()) return;
    EXPECT_TRUE(head.fields.add(name, value));
  }
  std::uint64_t point(const conf::SplitKey& key, const std::string& client = "192.0.2.1") {
    const auto address = net::Address::parse_ip(client, 0);
    EXPECT_TRUE(address.has_value());
    return split_point(key, head, *address, random);
  }
  http::Head head;
  Random random{3};
};

conf::Forward shares(std::uint32_t blue, std::uint32_t green) {
  conf::Forward forward;
  forward.shares = {{0, blue}, {1, green}};
  return forward;
}

std::string client_number(int i) {
  return "10." + std::to_string(i / 65536) + '.' + std::to_string(i / 256 % 256) + '.' +
         std::to_string(i % 256);
}

TEST(Split, FollowsTheWeights) {
  conf::Forward forward;
  forward.shares = {{0, 90}, {1, 10}, {2, 0}};
  for (const SplitBy by : {SplitBy::request, SplitBy::client_ip}) {
    Asked asked;
    std::array<int, 3> counts{};
    for (int i = 0; i < 100'000; ++i) {
      ++counts.at(choose_share(forward, 100, asked.point({by, {}}, client_number(i))));
    }
    EXPECT_NEAR(counts[0], 90'000, 500);
    EXPECT_NEAR(counts[1], 10'000, 500);
    EXPECT_EQ(counts[2], 0);
  }
}

TEST(Split, BothEndsOfTheLineBelongToAPool) {
  EXPECT_EQ(choose_share(shares(1, 1), 2, 0), 0U);
  EXPECT_EQ(choose_share(shares(1, 1), 2, ~std::uint64_t{0}), 1U);
  EXPECT_EQ(choose_share(shares(1'000'000, 1), 1'000'001, ~std::uint64_t{0}), 1U);
  EXPECT_EQ(choose_share(shares(0, 1), 1, 0), 1U);
}

TEST(Split, WhoIsAtTheLastPoolStaysThereWhenItGetsMore) {
  Asked asked;
  int stayed = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t point = asked.point({SplitBy::client_ip, {}}, client_number(i));
    if (choose_share(shares(90, 10), 100, point) == 0) continue;
    EXPECT_EQ(choose_share(shares(60, 40), 100, point), 1U);
    ++stayed;
  }
  EXPECT_NEAR(stayed, 1000, 150);
}

TEST(Split, AClientKeepsItsPoint) {
  Asked one;
  Asked other("x-user", "7");
  const conf::SplitKey key{SplitBy::client_ip, {}};
  EXPECT_EQ(one.point(key), other.point(key));
  EXPECT_NE(one.point(key), one.point(key, "192.0.2.2"));
}

TEST(Split, AnIpv6NetworkIsOneClient) {
  Asked asked;
  const conf::SplitKey key{SplitBy::client_ip, {}};
  EXPECT_EQ(asked.point(key, "2001:db8::1"), asked.point(key, "2001:db8::ffff:1"));
  EXPECT_NE(asked.point(key, "2001:db8::1"), asked.point(key, "2001:db8:0:1::1"));
}

TEST(Split, EachRequestIsDrawnAnewWhenAsked) {
  Asked asked;
  const conf::SplitKey key{SplitBy::request, {}};
  EXPECT_NE(asked.point(key), asked.point(key));
}

TEST(Split, AHeaderPlacesARequestWhoeverSendsIt) {
  Asked asked("x-user", "alice");
  Asked other("x-user", "bob");
  const conf::SplitKey key{SplitBy::header, "x-user"};
  EXPECT_EQ(asked.point(key), asked.point(key, "192.0.2.2"));
  EXPECT_NE(asked.point(key), other.point(key));
}

TEST(Split, ACookiePlacesARequestWhoeverSendsIt) {
  Asked asked("cookie", "a=1; user=alice");
  const conf::SplitKey key{SplitBy::cookie, "user"};
  EXPECT_EQ(asked.point(key), asked.point(key, "192.0.2.2"));
  EXPECT_EQ(asked.point(key), Asked("cookie", "user=alice").point(key));
  Asked in_two("cookie", "a=1");
  EXPECT_TRUE(in_two.head.fields.add("cookie", "user=alice"));
  EXPECT_EQ(asked.point(key), in_two.point(key));
}

TEST(Split, WithoutTheFieldTheAddressPlacesIt) {
  Asked asked;
  const std::uint64_t by_address = asked.point({SplitBy::client_ip, {}});
  EXPECT_EQ(asked.point({SplitBy::header, "x-user"}), by_address);
  EXPECT_EQ(asked.point({SplitBy::cookie, "user"}), by_address);
}

}  // namespace
}  // namespace portunus::proxy
