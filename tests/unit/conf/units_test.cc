#include "conf/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace portunus::conf {
namespace {

TEST(Units, DurationsNeedAUnit) {
  EXPECT_EQ(parse_duration("250ms"), Milliseconds(250));
  EXPECT_EQ(parse_duration("10s"), Milliseconds(10'000));
  EXPECT_EQ(parse_duration("5m"), Milliseconds(300'000));
  EXPECT_EQ(parse_duration("1h"), Milliseconds(3'600'000));
  EXPECT_EQ(parse_duration("2d"), Milliseconds(172'800'000));
  EXPECT_EQ(parse_duration("0"), Milliseconds(0));
  for (const char* wrong : {"10", "", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "10sec",
                            "99999999999999999999s", "9999999999999999d", "0x1s"}) {
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
  }
  EXPECT_NE(parse_duration("10").error().find("has no unit: write `10s`"), std::string::npos);
  EXPECT_NE(parse_duration("1.5s").error().find("smaller unit"), std::string::npos);
}

TEST(Units, SizesNeedAUnit) {
  EXPECT_EQ(parse_size("512B"), 512U);
  EXPECT_EQ(parse_size("64KiB"), 65536U);
  EXPECT_EQ(parse_size("10MiB"), 10U << 20U);
  EXPECT_EQ(parse_size("1GiB"), 1U << 30U);
  EXPECT_EQ(parse_size("1TiB"), 1ULL << 40U);
  EXPECT_EQ(parse_size("0"), 0U);
  for (const char* wrong : {"64", "64KB", "64K", "KiB", "-1B", "", "18446744073709551616B"}) {
    EXPECT_FALSE(parse_size(wrong)) << wrong;
  }
}

TEST(Units, Percentages) {
  EXPECT_DOUBLE_EQ(parse_percent("20%").value(), 0.2);
  EXPECT_DOUBLE_EQ(parse_percent("0").value(), 0.0);
  for (const char* wrong : {"20", "101%", "%", "", "-1%", "1.5%"}) {
    EXPECT_FALSE(parse_percent(wrong)) << wrong;
  }
}

TEST(Units, Rates) {
  EXPECT_EQ(parse_rate("100/s").value().count, 100U);
  EXPECT_EQ(parse_rate("100/s").value().per, Milliseconds(1000));
  EXPECT_EQ(parse_rate("1/m").value().per, Milliseconds(60'000));
  EXPECT_EQ(parse_rate("1/h").value().per, Milliseconds(3'600'000));
  EXPECT_EQ(parse_rate("0/d").value().per, Milliseconds(86'400'000));
  for (const char* wrong : {"", "100", "/s", "100/", "100/ms", "100 /s", "-1/s", "1.5/s", "1/s/s",
                            "18446744073709551616/s"}) {
    EXPECT_FALSE(parse_rate(wrong)) << wrong;
  }
}

TEST(Units, Addresses) {
  EXPECT_EQ(parse_address("127.0.0.1:80"), (Address{"127.0.0.1", 80}));
  EXPECT_EQ(parse_address("[::1]:80"), (Address{"::1", 80}));
  EXPECT_EQ(parse_address(":80"), (Address{"", 80}));
  EXPECT_EQ(parse_address("LocalHost:65535"), (Address{"localhost", 65535}));
  for (const char* wrong :
       {"", "80", "host", "host:", "host:0", "host:65536", "::1:80", "[::1]", "[::1", "[x]:80",
        "http://a:80", "a b:80", "10.0.0.300:80", "a..b:80", "-:x"}) {
    EXPECT_FALSE(parse_address(wrong)) << wrong;
  }
}

TEST(Units, FormatsAsWritten) {
  EXPECT_EQ(format_duration(Milliseconds(250)), "250ms");
  EXPECT_EQ(format_duration(Milliseconds(3'600'000)), "1h");
  EXPECT_EQ(format_duration(Milliseconds(0)), "0s");
  EXPECT_EQ(format_size(65536), "64KiB");
  EXPECT_EQ(format_size(0), "0");
  EXPECT_EQ(format_address({"::1", 80}), "[::1]:80");
  EXPECT_EQ(format_address({"", 80}), ":80");
}

TEST(Units, HostNames) {
  for (const char* good : {"a", "a-b.c_d", "localhost", "127.0.0.1", "xn--bcher-kva.example"}) {
    EXPECT_TRUE(is_host_name(good)) << good;
  }
  EXPECT_FALSE(is_host_name(std::string(64, 'a')));
  EXPECT_FALSE(is_host_name("a."));
  EXPECT_FALSE(is_host_name("A"));
  EXPECT_FALSE(is_host_name("b\xc3\xbc"));
}

}  // namespace
}  // namespace portunus::conf
