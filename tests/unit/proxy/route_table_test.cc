#include "proxy/route_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "proxy/balancer.h"
#include "tests/support/allocations.h"

namespace portunus::proxy {
namespace {

using conf::FieldTest;

conf::Route route(std::string name, std::vector<conf::PathPattern> paths) {
  conf::Route made;
  made.name = std::move(name);
  made.match.paths = std::move(paths);
  made.action = conf::Respond{};
  return made;
}

class RouteTableTest : public testing::Test {
 protected:
  RouteTableTest() { model_.listeners.resize(2); }

  conf::Site& site(std::vector<std::string> hosts, std::vector<std::size_t> listeners = {0}) {
    conf::Site& made = model_.sites.emplace_back();
    made.name = hosts.front();
    made.hosts = std::move(hosts);
    made.listeners = std::move(listeners);
    return made;
  }
  void build() { table_ = std::make_unique<RouteTable>(RouteTable::build(model_)); }
  RouteMatch match(std::string_view host, std::string_view path, std::size_t listener = 0) {
    request_->host = host;
    request_->path = path;
    return table_->find(listener, *request_);
  }
  // The name of what was found, and "|rest".
  std::string find(std::string_view host, std::string_view path, std::size_t listener = 0) {
    const RouteMatch found = match(host, path, listener);
    if (found.route == nullptr) return "-";
    return std::string(found.route->name) + "|" + std::string(found.path_rest);
  }

  conf::Model model_;
  std::unique_ptr<RouteTable> table_;
  std::unique_ptr<http::Head> request_ = std::make_unique<http::Head>();
};

TEST_F(RouteTableTest, KnowsTheSiteOfAServerName) {
  site({"a.example", "*.a.example"}).routes = {route("one", {}), route("two", {{"/x", false}})};
  site({"b.example"}, {0, 1}).routes = {route("three", {})};
  site({"*"}, {1}).routes = {route("four", {})};
  build();
  EXPECT_EQ(table_->site_id(0, "a.example"), 0U);  // before the ids are set
  std::uint32_t last = 0;
  table_->set_site_ids(model_.sites, [&](std::string_view /*name*/) { return ++last; });
  EXPECT_EQ(table_->site_id(0, "a.example"), 1U);
  EXPECT_EQ(table_->site_id(0, "WWW.A.Example."), 1U);
  EXPECT_EQ(table_->site_id(0, "b.example"), 2U);
  EXPECT_EQ(table_->site_id(1, "b.example"), 2U);
  EXPECT_EQ(table_->site_id(1, "a.example"), 3U);
  EXPECT_EQ(table_->site_id(0, "c.example"), 0U);
  EXPECT_EQ(table_->site_id(0, ""), 0U);
  EXPECT_EQ(table_->site_id(0, std::string(256, 'a')), 0U);
  EXPECT_EQ(table_->site_id(7, "a.example"), 0U);
}

TEST_F(RouteTableTest, AnEmptyModelFindsNothing) {
  build();
  EXPECT_EQ(find("a.example", "/"), "-");
  EXPECT_EQ(find("", "/", 7), "-");
  EXPECT_TRUE(table_->routes().empty());
}

TEST_F(RouteTableTest, HostExactThenWildcardThenAny) {
  site({"*"}).routes = {route("any", {})};
  site({"*.example.com"}).routes = {route("wild", {})};
  site({"www.example.com", "shop.example.com"}).routes = {route("www", {})};
  build();
  EXPECT_EQ(find("www.example.com", "/"), "www|");
  EXPECT_EQ(find("shop.example.com", "/"), "www|");
  EXPECT_EQ(find("www.example.com.", "/"), "www|");
  EXPECT_EQ(find("api.example.com", "/"), "wild|");
  EXPECT_EQ(find("example.com", "/"), "any|");
  EXPECT_EQ(find("a.b.example.com", "/"), "any|");
  EXPECT_EQ(find(".example.com", "/"), "any|");
  EXPECT_EQ(find("*.example.com", "/"), "wild|");
  EXPECT_EQ(find("other.org", "/"), "any|");
  EXPECT_EQ(find("", "/"), "any|");
  EXPECT_EQ(find(".", "/"), "any|");
  EXPECT_EQ(find("127.0.0.1", "/"), "any|");
}

TEST_F(RouteTableTest, AHostWithoutSiteHasNoRoute) {
  site({"example.com"}).routes = {route("a", {})};
  build();
  EXPECT_EQ(find("example.org", "/"), "-");
  EXPECT_EQ(find("", "/"), "-");
}

TEST_F(RouteTableTest, TheChosenSiteDecidesAlone) {
  site({"*"}).routes = {route("any", {})};
  site({"example.com"}).routes = {route("api", {{"/api", true}})};
  build();
  EXPECT_EQ(find("example.com", "/other"), "-");
}

TEST_F(RouteTableTest, ListenersAreApart) {
  site({"example.com"}, {0}).routes = {route("zero", {})};
  site({"example.com", "*"}, {1}).routes = {route("one", {})};
  build();
  EXPECT_EQ(find("example.com", "/", 0), "zero|");
  EXPECT_EQ(find("example.com", "/", 1), "one|");
  EXPECT_EQ(find("x.org", "/", 0), "-");
  EXPECT_EQ(find("x.org", "/", 1), "one|");
}

TEST_F(RouteTableTest, TheFirstSiteKeepsADoubledHost) {
  site({"example.com", "*"}).routes = {route("first", {})};
  site({"example.com", "*"}).routes = {route("second", {})};
  build();
  EXPECT_EQ(find("example.com", "/"), "first|");
  EXPECT_EQ(find("x.org", "/"), "first|");
}

TEST_F(RouteTableTest, WholeSegments) {
  site({"*"}).routes = {route("prefix", {{"/api", true}}), route("exact", {{"/ping", false}}),
                        route("slash", {{"/dir/", false}}), route("root", {{"/", false}})};
  build();
  EXPECT_EQ(find("", "/api"), "prefix|");
  EXPECT_EQ(find("", "/api/"), "prefix|");
  EXPECT_EQ(find("", "/api/x/y"), "prefix|x/y");
  EXPECT_EQ(find("", "/api//x"), "prefix|x");
  EXPECT_EQ(find("", "/apix"), "-");
  EXPECT_EQ(find("", "/API"), "-");
  EXPECT_EQ(find("", "/ap"), "-");
  EXPECT_EQ(find("", "/ping"), "exact|");
  EXPECT_EQ(find("", "/ping/"), "-");
  EXPECT_EQ(find("", "/ping/x"), "-");
  EXPECT_EQ(find("", "/dir/"), "slash|");
  EXPECT_EQ(find("", "/dir"), "-");
  EXPECT_EQ(find("", "/dir/x"), "-");
  EXPECT_EQ(find("", "/"), "root|");
  EXPECT_EQ(find("", "//"), "-");
  EXPECT_EQ(find("", "/x"), "-");
  EXPECT_EQ(find("", "*"), "-");
}

TEST_F(RouteTableTest, StarAloneAndNoPathMatchEverything) {
  site({"a"}).routes = {route("star", {{"/", true}})};
  site({"b"}).routes = {route("none", {})};
  build();
  for (const std::string name : {"a", "b"}) {
    const std::string prefix = name == "a" ? "star|" : "none|";
    EXPECT_EQ(find(name, "/"), prefix);
    EXPECT_EQ(find(name, "/x/y"), prefix + "x/y");
    EXPECT_NE(match(name, "*").route, nullptr);
  }
}

TEST_F(RouteTableTest, WrittenOrderBeatsDepth) {
  site({"*"}).routes = {route("b", {{"/a/b", true}}), route("a", {{"/a", true}}),
                        route("deep", {{"/a/c/d", true}}), route("rest", {})};
  build();
  EXPECT_EQ(find("", "/a/b/x"), "b|x");
  EXPECT_EQ(find("", "/a/c/d"), "a|c/d");
  EXPECT_EQ(find("", "/z"), "rest|z");
}

TEST_F(RouteTableTest, ARouteWithoutPathHidesWhatFollows) {
  site({"*"}).routes = {route("all", {}), route("never", {{"/a", true}})};
  build();
  EXPECT_EQ(find("", "/a/b"), "all|a/b");
}

TEST_F(RouteTableTest, SeveralPathsOfOneRoute) {
  site({"*"}).routes = {route("many", {{"/a", true}, {"/a/b", true}, {"/c", false}})};
  build();
  EXPECT_EQ(find("", "/a/x"), "many|x");
  EXPECT_EQ(find("", "/a/b/x"), "many|x");  // the longer one gives the rest
  EXPECT_EQ(find("", "/c"), "many|");
  EXPECT_EQ(find("", "/c/x"), "-");
}

TEST_F(RouteTableTest, ExactAndPrefixOfOnePath) {
  site({"*"}).routes = {route("exact", {{"/a", false}}), route("below", {{"/a", true}})};
  build();
  EXPECT_EQ(find("", "/a"), "exact|");
  EXPECT_EQ(find("", "/a/"), "below|");
  EXPECT_EQ(find("", "/a/b"), "below|b");
}

TEST_F(RouteTableTest, RoutesOfOnePathAreTriedInOrder) {
  auto get = route("get", {{"/a", true}});
  get.match.methods = {"GET"};
  auto tenant = route("tenant", {{"/a", true}});
  tenant.match.headers = {{"x-tenant", FieldTest::present, ""}};
  auto version = route("version", {{"/a/b", true}});
  version.match.query = {{"v", FieldTest::exact, "2"}};
  site({"*"}).routes = {get, tenant, version, route("rest", {})};
  build();
  request_->method = http::Method::post;
  EXPECT_EQ(find("", "/a/b"), "rest|a/b");
  request_->has_query = true;
  request_->query = "v=2";
  EXPECT_EQ(find("", "/a/b"), "version|");
  ASSERT_TRUE(request_->fields.add("x-tenant", "1"));
  EXPECT_EQ(find("", "/a/b"), "tenant|b");
  request_->method = http::Method::get;
  EXPECT_EQ(find("", "/a/b"), "get|b");
}

TEST_F(RouteTableTest, ARouteCarriesWhatTheExchangeNeeds) {
  model_.limits.body_bytes = 500;
  conf::Site& made = site({"*"});
  made.request_headers.set = {{"x-site", "1"}};
  auto plain = route("plain", {});
  auto special = route("special", {{"/s", true}});
  special.action = conf::Forward{.shares = {{3, 90}, {4, 10}}, .strip_prefix = {}, .rewrite = {}};
  special.body_bytes = 0;
  special.total = std::chrono::milliseconds(1500);
  special.request_headers.remove = {"x-a"};
  special.response_headers.add = {{"x-b", "1"}};
  made.routes = {special, plain};
  build();
  const conf::Site& kept = model_.sites[0];
  const Route* const found = match("", "/s").route;
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->action, RouteAction::forward);
  EXPECT_EQ(found->weight_sum, 100U);
  EXPECT_EQ(&found->forward(), std::get_if<conf::Forward>(&kept.routes[0].action));
  EXPECT_EQ(found->body_bytes_max, 0U);
  EXPECT_TRUE(found->has_total);
  EXPECT_EQ(found->total_ms, 1500U);
  EXPECT_EQ(found->request_headers,
            (HeaderSteps{&kept.request_headers, &kept.routes[0].request_headers}));
  EXPECT_EQ(found->response_headers, (HeaderSteps{nullptr, &kept.routes[0].response_headers}));
  const Route* const other = match("", "/").route;
  ASSERT_NE(other, nullptr);
  EXPECT_EQ(other->action, RouteAction::respond);
  EXPECT_EQ(other->index, 1U);
  EXPECT_EQ(other->body_bytes_max, 500U);
  EXPECT_FALSE(other->has_total);
}

TEST_F(RouteTableTest, RoutesKeepTheirPlaceWhenMoved) {
  site({"*"}).routes = {route("a", {}), route("b", {})};
  build();
  const Route* const before = match("", "/").route;
  const RouteTable moved = std::move(*table_);
  EXPECT_EQ(moved.find(0, *request_).route, before);
  ASSERT_EQ(moved.routes().size(), 2U);
  EXPECT_EQ(&moved.routes()[0], before);
  EXPECT_EQ(moved.routes()[1].index, 1U);
}

// What a table must do, said plainly: all routes of the site in order.
const conf::Route* find_plainly(const conf::Site& site, std::string_view path) {
  for (const conf::Route& candidate : site.routes) {
    if (candidate.match.paths.empty()) return &candidate;
    for (const conf::PathPattern& pattern : candidate.match.paths) {
      if (path == pattern.path) return &candidate;
      if (!pattern.is_prefix) continue;
      if (pattern.path == "/" || path.starts_with(pattern.path + "/")) return &candidate;
    }
  }
  return nullptr;
}

TEST_F(RouteTableTest, AgreesWithAPlainSearchOnRandomTables) {
  Random random(11);
  const auto random_path = [&random] {
    std::string path;
    const std::uint32_t depth = random.below(5);
    for (std::uint32_t i = 0; i < depth; ++i) {
      path += '/';
      path += static_cast<char>('a' + random.below(3));
    }
    return path.empty() ? std::string("/") : path;
  };
  int found_count = 0;
  for (int round = 0; round < 100; ++round) {
    model_.sites.clear();
    conf::Site& made = site({"x"});
    const std::uint32_t count = 1 + random.below(40);
    for (std::uint32_t i = 0; i < count; ++i) {
      std::vector<conf::PathPattern> paths;
      for (std::uint32_t k = 0; k <= random.below(3); ++k) {
        paths.push_back({random_path(), random.below(2) == 0});
      }
      if (paths.back().path == "/") paths.back().is_prefix = false;
      made.routes.push_back(route(std::to_string(i), std::move(paths)));
    }
    build();
    for (int i = 0; i < 200; ++i) {
      std::string path = random_path();
      if (random.below(4) == 0 && path != "/") path += '/';
      const conf::Route* const expected = find_plainly(made, path);
      const RouteMatch got = match("x", path);
      ASSERT_EQ(got.route == nullptr ? nullptr : got.route->config, expected) << path;
      found_count += expected != nullptr ? 1 : 0;
    }
  }
  EXPECT_GT(found_count, 5000);
}

TEST_F(RouteTableTest, ManySitesAndRoutesAreAllFound) {
  constexpr int kSites = 2000;
  for (int s = 0; s < kSites; ++s) {
    conf::Site& made = site({"site" + std::to_string(s) + ".example.com"});
    for (int r = 0; r < 10; ++r) {
      made.routes.push_back(route(std::to_string(s) + "." + std::to_string(r),
                                  {{"/part" + std::to_string(r), true}}));
    }
  }
  build();
  for (int s = 0; s < kSites; ++s) {
    for (int r = 0; r < 10; ++r) {
      ASSERT_EQ(
          find("site" + std::to_string(s) + ".example.com", "/part" + std::to_string(r) + "/x"),
          std::to_string(s) + "." + std::to_string(r) + "|x");
    }
  }
  EXPECT_EQ(find("site2000.example.com", "/part1"), "-");
  EXPECT_EQ(find("site1.example.com", "/part10"), "-");
}

TEST_F(RouteTableTest, ASiteOfTenThousandRoutes) {
  conf::Site& made = site({"*"});
  for (int r = 0; r < 10000; ++r) {
    made.routes.push_back(route(std::to_string(r), {{"/a/" + std::to_string(r), true}}));
  }
  build();
  for (int r = 0; r < 10000; r += 7) {
    ASSERT_EQ(find("", "/a/" + std::to_string(r) + "/x"), std::to_string(r) + "|x");
  }
}

TEST_F(RouteTableTest, APathOfManySegmentsCostsNoMoreThanTheDeepestPattern) {
  site({"*"}).routes = {route("a", {{"/a/b", true}})};
  build();
  std::string path = "/a/b";
  for (int i = 0; i < 100000; ++i)
    path += "/x";
  EXPECT_EQ(match("", path).path_rest.size(), 199999U);
}

// Depths have a bit each, and beyond the last bit they share it.
TEST_F(RouteTableTest, PatternsOfEveryDepth) {
  conf::Site& made = site({"*"});
  std::string path;
  std::vector<std::string> paths;
  for (int depth = 1; depth <= 70; ++depth) {
    path += "/" + std::to_string(depth);
    paths.push_back(path);
  }
  for (int depth = 70; depth >= 1; depth -= 3) {  // the longest first: it wins
    const std::string& text = paths[static_cast<std::size_t>(depth) - 1];
    made.routes.push_back(route(std::to_string(depth), {{text, true}}));
  }
  build();
  for (int depth = 1; depth <= 70; ++depth) {
    const RouteMatch found = match("", paths[static_cast<std::size_t>(depth) - 1] + "/x");
    EXPECT_EQ(found.route->name, std::to_string(depth - (depth + 2) % 3)) << depth;
  }
}

TEST_F(RouteTableTest, FindingAllocatesNothing) {
  auto tenant = route("tenant", {{"/a", true}});
  tenant.match.headers = {{"x-tenant", FieldTest::exact, "1"}};
  tenant.match.query = {{"v", FieldTest::exact, "2"}};
  site({"*.example.com"}).routes = {tenant, route("rest", {})};
  build();
  ASSERT_TRUE(request_->fields.add("x-tenant", "1"));
  request_->has_query = true;
  request_->query = "v=%32";
  const std::size_t before = test::allocation_count();
  const RouteMatch first = match("www.example.com", "/a/b");
  const RouteMatch second = match("www.example.com", "/b");
  const RouteMatch third = match("example.org", "/b");
  EXPECT_EQ(test::allocation_count(), before);
  EXPECT_EQ(first.route->name, "tenant");
  EXPECT_EQ(second.route->name, "rest");
  EXPECT_EQ(third.route, nullptr);
  const auto counted = std::make_unique<int>(1);
  EXPECT_GT(test::allocation_count(), before);  // the counter counts
}

}  // namespace
}  // namespace portunus::proxy
