// Keys of sites that their routes may say otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

LoadResult load_site(const std::string& keys) {
  return load_text("sites:\n  \"*\": { respond: { status: 200 }" + keys + " }\n", "s.yaml");
}

TEST(SchemaSites, ServerTimingIsOffUnlessAskedFor) {
  const LoadResult off = load_site("");
  ASSERT_NE(off.model, nullptr) << format_text(off.diagnostics);
  EXPECT_FALSE(off.model->sites[0].server_timing);
  const LoadResult on = load_site(
      ", server_timing: true, routes: [{ match: { path: /a }, respond: { status: 204 }, "
      "server_timing: false }]");
  ASSERT_NE(on.model, nullptr) << format_text(on.diagnostics);
  EXPECT_TRUE(on.model->sites[0].server_timing);
  EXPECT_EQ(on.model->sites[0].routes[0].server_timing, false);
  EXPECT_EQ(on.model->sites[0].routes[1].server_timing, std::nullopt) << "the site's holds";
  const LoadResult wrong = load_site(", server_timing: often");
  EXPECT_EQ(wrong.model, nullptr);
  EXPECT_THAT(format_text(wrong.diagnostics), testing::HasSubstr("server_timing"));
}

}  // namespace
}  // namespace portunus::conf
