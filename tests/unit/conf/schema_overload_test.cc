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
  EXPECT_EQ(result.model->pools.front().overload, (Overload{1024, 10, Milliseconds(1'000)}));
}

TEST(SchemaOverload, RefusesWhatIsNoNumberOfRequests) {
  for (const char* keys : {"{ max_requests: -1 }", "{ max_requests: many }",
                           "{ max_requests: 1000001 }", "{ max_request: 1 }"}) {
    const LoadResult result = load_overload(keys);
    EXPECT_EQ(result.model, nullptr) << keys;
    EXPECT_THAT(format_text(result.diagnostics), testing::HasSubstr("o.yaml:3:")) << keys;
  }
}

}  // namespace
}  // namespace portunus::conf
