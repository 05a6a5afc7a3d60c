#include "base/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace portunus::base {
namespace {

TEST(EndReason, EachHasAWordOfItsOwnAndAStatusThatFits) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kEndReasonCount; ++i) {
    const auto reason = static_cast<EndReason>(i);
    const std::string_view name = name_of(reason);
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos)
        << name;
    EXPECT_TRUE(names.insert(name).second) << name;
    const int status = status_of(reason);
    if (name.starts_with("rejected_")) {
      EXPECT_TRUE((status >= 400 && status < 500) || status == 501 || status == 505) << name;
    } else if (name.starts_with("upstream_")) {
      EXPECT_TRUE(status == 502 || status == 504) << name;
    } else {
      EXPECT_TRUE(status == 0 || (status >= 400 && status < 600)) << name;
    }
  }
}

// A row that has slipped would give every reason behind it the words of its neighbour.
TEST(EndReason, RowsAreInTheOrderOfTheEnum) {
  EXPECT_EQ(name_of(EndReason::ok), "ok");
  EXPECT_EQ(name_of(EndReason::upstream_reset), "upstream_reset");
  EXPECT_EQ(name_of(EndReason::rejected_version), "rejected_version");
  EXPECT_EQ(status_of(EndReason::rejected_version), 505);
  EXPECT_EQ(name_of(EndReason::rejected_no_route), "rejected_no_route");
  EXPECT_EQ(status_of(EndReason::rejected_no_route), 404);
  EXPECT_EQ(status_of(EndReason::rejected_misdirected), 421);
  EXPECT_EQ(status_of(EndReason::rejected_address), 403);
  EXPECT_EQ(name_of(EndReason::shutdown), "shutdown");
  EXPECT_EQ(proxy_status_of(EndReason::upstream_timeout), "http_response_timeout");
}

TEST(Error, IsNoneUntilItHasAReason) {
  EXPECT_FALSE(Error{}.is_error());
  EXPECT_TRUE((Error{EndReason::internal, Side::internal, Retry::no, ""}).is_error());
}

}  // namespace
}  // namespace portunus::base
