#include "http/date.h"

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <string>

namespace portunus::http {
namespace {

std::string date(std::int64_t seconds) {
  std::array<char, kDateSize> text;
  write_date(seconds, text.data());
  return {text.data(), text.size()};
}

TEST(Date, ImfFixdate) {
  EXPECT_EQ(date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // the example of RFC 9110
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(951827696), "Tue, 29 Feb 2000 12:34:56 GMT");
  EXPECT_EQ(date(4107542399), "Sun, 28 Feb 2100 23:59:59 GMT");
  EXPECT_EQ(date(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT");
  EXPECT_EQ(date(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(Date, Now) {
  const auto before = static_cast<std::int64_t>(time(nullptr));
  const std::string now(date_now());
  const auto after = static_cast<std::int64_t>(time(nullptr));
  bool is_now = false;
  for (std::int64_t second = before - 1; second <= after + 1; ++second)
    is_now |= date(second) == now;
  EXPECT_TRUE(is_now) << now;
}

}  // namespace
}  // namespace portunus::http
