// `overload` of a pool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

LoadResult load_overload(const std::string& keys) {
  return load_text(
      "sites: { \"*\": { pool: web } }\npools:\n  web: { upstreams: \"a:1\", overload: " + keys +
          " }\n",
      "o.yaml");
}

TEST(SchemaOverload, BoundsRequestsOnlyWhenAsked) {
  const LoadResult result = load_overload("{ max_pending: 0 }");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  const Overload& overload = result.model->pools.front().overload;
  EXPECT_EQ(overload.max_requests, 0U);
  EXPECT_EQ(overload.max_pending, 0U);
  EXPECT_EQ(overload.pending_timeout, Milliseconds(5'000));
}

TEST(SchemaOverload, TakesEachBound) {
  const LoadResult result =
      load_overload("{ max_requests: 1024, max_pending: 10, pending_timeout: 1s }");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  EXPECT_EQ(result.model->pools.front().overload, (Overload{1024, {}, 10, Milliseconds(1'000)}));
}

TEST(SchemaOverload, RefusesWhatIsNoNumberOfRequests) {
  for (const char* keys : {"{ max_requests: -1 }", "{ max_requests: many }",
                           "{ max_requests: 1000001 }", "{ max_request: 1 }"}) {
    const LoadResult result = load_overload(keys);
    EXPECT_EQ(result.model, nullptr) << keys;
    EXPECT_THAT(format_text(result.diagnostics), testing::HasSubstr("o.yaml:3:")) << keys;
  }
}

TEST(SchemaOverload, FindsTheBoundOutWhenAsked) {
  const LoadResult plain = load_overload("{ adaptive: true }");
  ASSERT_NE(plain.model, nullptr) << format_text(plain.diagnostics);
  AdaptiveLimit expected;
  expected.is_on = true;
  EXPECT_EQ(plain.model->pools.front().overload.adaptive, expected);

  const LoadResult full =
      load_overload("{ adaptive: { tolerance: 100%, initial: 8, min: 2, max: 64 } }");
  ASSERT_NE(full.model, nullptr) << format_text(full.diagnostics);
  EXPECT_EQ(full.model->pools.front().overload.adaptive, (AdaptiveLimit{true, 1.0, 8, 2, 64}));

  const LoadResult off = load_overload("{ adaptive: false, max_requests: 5 }");
  ASSERT_NE(off.model, nullptr) << format_text(off.diagnostics);
  EXPECT_FALSE(off.model->pools.front().overload.adaptive.is_on);
}

// `initial` was not given: it is moved in between, and nobody has to know of it.
TEST(SchemaOverload, TheFirstBoundIsWithinTheOthers) {
  const LoadResult low = load_overload("{ adaptive: { max: 4 } }");
  ASSERT_NE(low.model, nullptr) << format_text(low.diagnostics);
  EXPECT_EQ(low.model->pools.front().overload.adaptive.initial, 4U);
  const LoadResult high = load_overload("{ adaptive: { min: 50 } }");
  ASSERT_NE(high.model, nullptr) << format_text(high.diagnostics);
  EXPECT_EQ(high.model->pools.front().overload.adaptive.initial, 50U);
}

TEST(SchemaOverload, RefusesWhatNoBoundCanBe) {
  struct Wrong {
    const char* keys;
    const char* says;
  };
  for (const auto& [keys, says] : {
           Wrong{"{ adaptive: { min: 5, max: 4 } }", "`min` is more than `max`"},
           Wrong{"{ adaptive: { min: 5, initial: 4 } }", "`initial` is not between"},
           Wrong{"{ adaptive: { max: 5, initial: 6 } }", "`initial` is not between"},
           Wrong{"{ adaptive: true, max_requests: 10 }", "`max_requests` is a bound of its own"},
           Wrong{"{ adaptive: { min: 0 } }", "`min`"},
           Wrong{"{ adaptive: { tolerance: 101% } }", "`tolerance`"},
           Wrong{"{ adaptive: perhaps }", "`adaptive`"},
           Wrong{"{ adaptive: { limit: 5 } }", "limit"},
       }) {
    const LoadResult result = load_overload(keys);
    EXPECT_EQ(result.model, nullptr) << keys;
    EXPECT_THAT(format_text(result.diagnostics), testing::HasSubstr("o.yaml:3:")) << keys;
    EXPECT_THAT(format_text(result.diagnostics), testing::HasSubstr(says)) << keys;
  }
}

}  // namespace
}  // namespace portunus::conf
