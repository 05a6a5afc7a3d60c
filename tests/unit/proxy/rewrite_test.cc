#include "proxy/rewrite.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace portunus::proxy {
namespace {

using Kind = conf::TemplateKind;

conf::TemplatePart literal(const char* text) {
  return {Kind::literal, text};
}
conf::TemplatePart part(Kind kind) {
  return {kind, {}};
}

class Rewrite : public testing::Test {
 protected:
  Rewrite() {
    request_->host = "example.com";
    request_->path = "/old/a/b";
    route_.config = &config_;
    match_ = {&route_, "a/b"};
  }
  std::string upstream(std::string_view path, std::string_view rest) {
    request_->path = path;
    match_.path_rest = rest;
    return std::string(upstream_path(match_, *request_, arena_));
  }
  std::string stripped(const char* prefix, std::string_view path) {
    config_.action = conf::Forward{.shares = {{0, 1}}, .strip_prefix = prefix, .rewrite = {}};
    return upstream(path, "");
  }
  std::string rewritten(conf::Template to, std::string_view path, std::string_view rest) {
    config_.action =
        conf::Forward{.shares = {{0, 1}}, .strip_prefix = {}, .rewrite = std::move(to)};
    return upstream(path, rest);
  }
  std::string location(conf::Template to,
                       std::string_view path,
                       std::string_view rest,
                       bool keep_query = true) {
    config_.action = conf::Redirect{.to = std::move(to), .code = 308, .keep_query = keep_query};
    request_->path = path;
    match_.path_rest = rest;
    return std::string(redirect_location(match_, *request_, "http", arena_));
  }

  base::ChunkPool pool_;
  base::Arena arena_{pool_};
  conf::Route config_;
  Route route_;
  RouteMatch match_;
  std::unique_ptr<http::Head> request_ = std::make_unique<http::Head>();
};

TEST_F(Rewrite, PlainForwardingLeavesThePath) {
  EXPECT_EQ(stripped("", "/a/b"), "/a/b");
  EXPECT_EQ(stripped("", "*"), "*");
  EXPECT_EQ(stripped("/api", "*"), "*");
}

TEST_F(Rewrite, StripPrefixTakesWholeSegments) {
  EXPECT_EQ(stripped("/api", "/api"), "/");
  EXPECT_EQ(stripped("/api", "/api/"), "/");
  EXPECT_EQ(stripped("/api", "/api/x/y/"), "/x/y/");
  EXPECT_EQ(stripped("/api", "/apix"), "/apix");
  EXPECT_EQ(stripped("/api", "/other"), "/other");
  EXPECT_EQ(stripped("/api", "/api//evil.example/x"), "/evil.example/x");
}

TEST_F(Rewrite, RewriteFillsTheTemplate) {
  EXPECT_EQ(rewritten({literal("/v2/"), part(Kind::path_rest)}, "/old/a/b", "a/b"), "/v2/a/b");
  EXPECT_EQ(rewritten({literal("/v2"), part(Kind::path)}, "/old/a", "a"), "/v2/old/a");
  EXPECT_EQ(rewritten({literal("/fixed")}, "/old/a", "a"), "/fixed");
  EXPECT_EQ(rewritten({part(Kind::path_rest)}, "/old/a", "a"), "/a");
  EXPECT_EQ(rewritten({part(Kind::path_rest)}, "/old", ""), "/");
  EXPECT_EQ(rewritten({literal("/"), part(Kind::host), part(Kind::path)}, "/x", "x"),
            "/example.com/x");
}

TEST_F(Rewrite, SlashesDoNotDoubleAtTheSeams) {
  EXPECT_EQ(rewritten({literal("/v2/"), part(Kind::path)}, "/a", "a"), "/v2/a");
  EXPECT_EQ(rewritten({literal("/v2/"), part(Kind::path_rest)}, "/old//a", "/a"), "/v2/a");
  EXPECT_EQ(rewritten({part(Kind::path)}, "//evil.example/a", "a"), "/evil.example/a");
  EXPECT_EQ(rewritten({literal("/v2/"), part(Kind::path_rest), literal("/end")}, "/old", ""),
            "/v2/end");
}

TEST_F(Rewrite, APathCannotBecomeAQueryOrALine) {
  EXPECT_EQ(
      rewritten({literal("/v2/"), part(Kind::path_rest)}, "/o/x", "a?b#c d\r\n\xC3\xBC\x7f\\%2F"),
      "/v2/a%3Fb%23c%20d%0D%0A%C3%BC%7F%5C%2F");
}

TEST_F(Rewrite, DotSegmentsDoNotArise) {
  request_->query = "../../secret";
  EXPECT_EQ(rewritten({literal("/q/"), part(Kind::query)}, "/x", ""), "/secret");
  request_->query = "%2e%2E/secret";
  EXPECT_EQ(rewritten({literal("/q/"), part(Kind::query)}, "/x", ""), "/secret");
  request_->query = ".";
  EXPECT_EQ(rewritten({literal("/q/"), part(Kind::query)}, "/x", ""), "/q/");
  request_->query = "a//b";
  EXPECT_EQ(rewritten({literal("/q/"), part(Kind::query)}, "/x", ""), "/q/a/b");
  EXPECT_EQ(rewritten({literal("/."), part(Kind::path_rest)}, "/old/./x", "./x"), "/x");
  EXPECT_EQ(rewritten({literal("/"), part(Kind::path_rest)}, "/old/.hidden", ".hidden"),
            "/.hidden");
}

TEST_F(Rewrite, RedirectFillsEveryPart) {
  EXPECT_EQ(location({literal("https://"), part(Kind::host), part(Kind::path)}, "/a/b", "a/b"),
            "https://example.com/a/b");
  EXPECT_EQ(location({part(Kind::scheme), literal("://www."), part(Kind::host), literal("/"),
                      part(Kind::path_rest)},
                     "/old/x", "x"),
            "http://www.example.com/x");
  EXPECT_EQ(location({literal("/new/"), part(Kind::path_rest)}, "/old/x/y", "x/y"), "/new/x/y");
}

TEST_F(Rewrite, RedirectKeepsTheQueryIfAsked) {
  request_->has_query = true;
  request_->query = "a=1&b=%20\x01";
  EXPECT_EQ(location({literal("/new")}, "/old", ""), "/new?a=1&b=%20%01");
  EXPECT_EQ(location({literal("/new")}, "/old", "", false), "/new");
  EXPECT_EQ(location({literal("/new?x="), part(Kind::query)}, "/old", "", false),
            "/new?x=a=1&b=%20%01");
  request_->query = "";
  EXPECT_EQ(location({literal("/new")}, "/old", ""), "/new");
}

TEST_F(Rewrite, RedirectIsNeverOpen) {
  EXPECT_EQ(location({part(Kind::path)}, "//evil.example/x", "x"), "/evil.example/x");
  EXPECT_EQ(location({literal("/"), part(Kind::path_rest)}, "/old//evil.example", "/evil.example"),
            "/evil.example");
  EXPECT_EQ(
      location({literal("/"), part(Kind::path_rest)}, "/old/\\evil.example", "\\evil.example"),
      "/%5Cevil.example");
  EXPECT_EQ(location({literal("https://example.com"), part(Kind::path_rest)}, "/old/.evil.example",
                     ".evil.example"),
            "https://example.com/.evil.example");
  EXPECT_EQ(location({literal("https://example.com"), part(Kind::path_rest)}, "/old/@evil.example",
                     "@evil.example"),
            "https://example.com/@evil.example");
  EXPECT_EQ(location({literal("https://"), part(Kind::host), literal(":8443"), part(Kind::path)},
                     "/x", "x"),
            "https://example.com:8443/x");
  EXPECT_EQ(location({part(Kind::path_rest)}, "/old/https://evil.example", "https://evil.example"),
            "/https://evil.example");
  EXPECT_EQ(location({part(Kind::path_rest)}, "/old/javascript:alert(1)", "javascript:alert(1)"),
            "/javascript:alert(1)");
  EXPECT_EQ(location({part(Kind::query)}, "/old", ""), "/");
  request_->query = "/evil.example";
  EXPECT_EQ(location({part(Kind::query)}, "/old", ""), "/evil.example");
  EXPECT_EQ(location({literal("/"), part(Kind::query)}, "/old", ""), "/evil.example");
  EXPECT_EQ(location({literal("https://example.com"), part(Kind::query)}, "/old", ""),
            "https://example.com/evil.example");
  EXPECT_EQ(location({part(Kind::path), literal("/login")}, "/", ""), "/login");
  EXPECT_EQ(location({part(Kind::path_rest), literal("/login")}, "/", ""), "/login");
  EXPECT_EQ(location({literal("/to?next=/"), part(Kind::query)}, "/old", ""),
            "/to?next=//evil.example");
  // What the user wrote with two slashes is meant.
  EXPECT_EQ(location({literal("//cdn.example.com/"), part(Kind::path_rest)}, "/old/x", "x"),
            "//cdn.example.com/x");
}

TEST_F(Rewrite, RedirectSplitsNoHeader) {
  EXPECT_EQ(location({literal("/new/"), part(Kind::path_rest)}, "/old/x", "a\r\nSet-Cookie: b=c"),
            "/new/a%0D%0ASet-Cookie:%20b=c");
}

TEST_F(Rewrite, RedirectToAHostNeedsOne) {
  request_->host = "";
  EXPECT_EQ(location({literal("https://"), part(Kind::host), part(Kind::path)}, "/a", "a"), "");
  EXPECT_EQ(location({literal("/b")}, "/a", "a"), "/b");
}

}  // namespace
}  // namespace portunus::proxy
