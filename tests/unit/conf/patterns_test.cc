#include "conf/patterns.h"

#include <gtest/gtest.h>

namespace portunus::conf {
namespace {

TEST(SiteKey, SaysHostAndListener) {
  const auto bare = parse_site_key("WWW.Example.com");
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->host, "www.example.com");
  EXPECT_FALSE(bare->has_scheme);

  const auto port = parse_site_key("http://:8080");
  ASSERT_TRUE(port);
  EXPECT_EQ(port->host, "*");
  EXPECT_EQ(port->listener, (Address{"", 8080}));

  const auto both = parse_site_key("http://*.example.com:81");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->host, "*.example.com");
  EXPECT_EQ(both->listener, (Address{"", 81}));

  const auto ip = parse_site_key("http://[::1]:81");
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->host, "*");
  EXPECT_EQ(ip->listener, (Address{"::1", 81}));

  EXPECT_EQ(parse_site_key("http://example.com")->listener.port, 80);
  EXPECT_FALSE(parse_site_key("http://example.com")->is_https);
  EXPECT_TRUE(parse_site_key("https://example.com")->is_https);
  EXPECT_EQ(parse_site_key("https://example.com")->listener.port, 443);
  EXPECT_EQ(parse_site_key("https://:8443")->listener, (Address{"", 8443}));
  EXPECT_EQ(parse_site_key("*")->host, "*");
}

TEST(SiteKey, RefusesTheRest) {
  for (const char* wrong :
       {"", "https://a/b", "ftp://a", "a:80", "http://", "http://a:0", "http://a:x", "http://a/b",
        "a/b", "*.*.a", "a.*", "*a", "a b", "b\xc3\xbc.de", "http://[::1", "a..b"}) {
    EXPECT_FALSE(parse_site_key(wrong)) << wrong;
  }
}

TEST(PathPattern, WholeSegments) {
  EXPECT_EQ(parse_path_pattern("/api/*"), (PathPattern{"/api", true}));
  EXPECT_EQ(parse_path_pattern("/api"), (PathPattern{"/api", false}));
  EXPECT_EQ(parse_path_pattern("/api/"), (PathPattern{"/api/", false}));
  EXPECT_EQ(parse_path_pattern("/*"), (PathPattern{"/", true}));
  EXPECT_EQ(parse_path_pattern("/"), (PathPattern{"/", false}));
  EXPECT_EQ(parse_path_pattern("/%7eme/%c3%bc"), (PathPattern{"/~me/%C3%BC", false}));
  for (const char* wrong :
       {"", "api", "*", "/api*", "/*/b", "/a//b", "/a//*", "/a/../b", "/a/.", "/a/%2e%2e/b", "/a?b",
        "/a#b", "/a b", "/\xc3\xbc", "/%", "/%2", "/%zz"}) {
    EXPECT_FALSE(parse_path_pattern(wrong)) << wrong;
  }
  EXPECT_TRUE(parse_path_pattern("/.well-known/*"));
  EXPECT_EQ(format_path_pattern({"/api", true}), "/api/*");
  EXPECT_EQ(format_path_pattern({"/", true}), "/*");
  EXPECT_EQ(format_path_pattern({"/", false}), "/");
}

TEST(Template, LiteralsAndPlaceholders) {
  const Template expected{{TemplateKind::scheme, ""},    {TemplateKind::literal, "://"},
                          {TemplateKind::host, ""},      {TemplateKind::literal, "/x/"},
                          {TemplateKind::path_rest, ""}, {TemplateKind::literal, "?"},
                          {TemplateKind::query, ""}};
  EXPECT_EQ(parse_template("{scheme}://{host}/x/{path.rest}?{query}"), expected);
  for (const char* wrong : {"/{", "/}", "/{nope}", "/{path", "/a b", "/\r\nX: y", "/{}"}) {
    EXPECT_FALSE(parse_template(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace portunus::conf
