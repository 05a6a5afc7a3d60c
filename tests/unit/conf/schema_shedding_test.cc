// `overload` of the file and `priority` of sites and routes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

LoadResult load_shedding(const std::string& root, const std::string& site) {
  return load_text("sites:\n  \"*\": { respond: { status: 200 }" + site + " }\n" + root, "o.yaml");
}

TEST(SchemaShedding, NothingIsWatchedUnlessAskedFor) {
  const LoadResult result = load_shedding("", "");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  EXPECT_EQ(result.model->overload, (Shedding{0, Milliseconds(0)}));
  EXPECT_EQ(result.model->sites[0].priority, Priority::normal);
}

TEST(SchemaShedding, TakesBoundsAndPriorities) {
  const LoadResult result =
      load_shedding("overload: { memory: 512MiB, loop_delay: 1s }\n",
                    ", priority: low, routes: [{ match: { path: /health }, respond: { status: 204 "
                    "}, priority: high }]");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  EXPECT_EQ(result.model->overload, (Shedding{std::uint64_t{512} << 20U, Milliseconds(1'000)}));
  const Site& site = result.model->sites[0];
  EXPECT_EQ(site.priority, Priority::low);
  EXPECT_EQ(site.routes[0].priority, Priority::high);
  EXPECT_FALSE(site.routes[1].priority.has_value()) << "the site's holds";
}

TEST(SchemaShedding, RefusesWhatIsNoBound) {
  for (const char* keys :
       {"{ memory: 1MB }", "{ memory: 1023KiB }", "{ loop_delay: 2m }", "{ descriptors: 5 }"}) {
    const LoadResult result = load_shedding("overload: " + std::string(keys) + "\n", "");
    EXPECT_EQ(result.model, nullptr) << keys;
    EXPECT_THAT(format_text(result.diagnostics), testing::HasSubstr("o.yaml:3:")) << keys;
  }
  const LoadResult result = load_shedding("", ", priority: lowest");
  EXPECT_EQ(result.model, nullptr);
  EXPECT_THAT(format_text(result.diagnostics), testing::HasSubstr("`normal` or `high`"));
}

}  // namespace
}  // namespace portunus::conf
