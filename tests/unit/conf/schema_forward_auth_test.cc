// The service that is asked, in the configuration.
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

LoadResult load_service(const std::string& value, const std::string& route = "") {
  return load_text(
      "pools: { web: [127.0.0.1:1], auth: [127.0.0.1:2] }\nsites: { '*': { forward_auth: " + value +
          ", routes: [{ " + route + " pool: web }] } }\n",
      "test.yaml");
}

TEST(LoadForwardAuth, EveryKey) {
  const LoadResult result = load_service(
      "{ pool: auth, path: '/verify?a=1', copy_headers: [Remote-User, X-Groups], timeout: 2s }");
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  const auto& rule = result.model->sites[0].forward_auth;
  ASSERT_TRUE(rule.has_value());
  EXPECT_EQ(result.model->pools[rule->pool].name, "auth");
  EXPECT_EQ(rule->path, "/verify");
  EXPECT_EQ(rule->query, "a=1");
  EXPECT_TRUE(rule->has_query);
  EXPECT_EQ(rule->copied_fields, (std::vector<std::string>{"remote-user", "x-groups"}));
  EXPECT_EQ(rule->timeout.count(), 2000);
}

TEST(LoadForwardAuth, ARouteSaysItInsteadOfItsSite) {
  const LoadResult off = load_service("{ pool: auth }", "forward_auth: off,");
  ASSERT_NE(off.model, nullptr) << format_text(off.diagnostics);
  EXPECT_FALSE(off.model->sites[0].routes[0].has_site_forward_auth);
  EXPECT_FALSE(off.model->sites[0].routes[0].forward_auth.has_value());
  const LoadResult own = load_service("{ pool: web }", "forward_auth: { pool: auth },");
  ASSERT_NE(own.model, nullptr) << format_text(own.diagnostics);
  const auto& rule = own.model->sites[0].routes[0].forward_auth;
  EXPECT_EQ(own.model->pools[rule->pool].name, "auth");
  EXPECT_EQ(rule->path, "/");
}

TEST(LoadForwardAuth, Nonsense) {
  struct Row {
    const char* value;
    const char* message;
  };
  const Row rows[] = {
      {"on", "forward_auth"},
      {"{ path: / }", "`pool`"},
      {"{ pool: ath }", "there is no pool"},
      {"{ pool: auth, path: verify }", "expected a path"},
      {"{ pool: auth, path: '/a b' }", "expected a path"},
      {"{ pool: auth, copy_headers: ['X Y'] }", "cannot be copied"},
      {"{ pool: auth, copy_headers: [Remote_User] }", "cannot be copied"},
      {"{ pool: auth, copy_headers: [Host] }", "cannot be copied"},
      {"{ pool: auth, copy_headers: [Content-Length] }", "cannot be copied"},
      {"{ pool: auth, copy_headers: [X-Forwarded-For] }", "cannot be copied"},
      {"{ pool: auth, copy_headers: [X-User, x-user] }", "stands there twice"},
      {"{ pool: auth, timeout: 0s }", "`timeout`"},
      {"{ pool: auth, timeout: 5 }", "`timeout`"},
  };
  for (const Row& row : rows) {
    const LoadResult result = load_service(row.value);
    EXPECT_EQ(result.model, nullptr) << row.value;
    const std::string text = format_text(result.diagnostics);
    EXPECT_NE(text.find(row.message), std::string::npos) << row.value << ": " << text;
  }
}

}  // namespace
}  // namespace portunus::conf
