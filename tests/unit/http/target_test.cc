#include "http/target.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::http {
namespace {

using std::string_literals::operator""s;

// The normal form, or "" when refused.
std::string normal(const std::string& raw) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  const auto path = normalise_path(raw, arena);
  if (path) return std::string(*path);
  EXPECT_EQ(path.error().reason, base::EndReason::rejected_target);
  EXPECT_EQ(path.error().side, base::Side::client);
  return "";
}

TEST(Target, OnePathNormalisation) {
  const struct {
    const char* raw;
    const char* path;
  } rows[] = {
      {"/", "/"},
      {"/a/b.c", "/a/b.c"},
      {"/a//b", "/a/b"},
      {"//", "/"},
      {"///a", "/a"},
      {"//evil.example/a", "/evil.example/a"},
      {"/a/", "/a/"},
      {"/a//", "/a/"},
      {"/.", "/"},
      {"/./", "/"},
      {"/./a", "/a"},
      {"/a/.", "/a/"},
      {"/a/./b", "/a/b"},
      {"/a/../b", "/b"},
      {"/a/..", "/"},
      {"/a/b/..", "/a/"},
      {"/a/b/../", "/a/"},
      {"/a/b/../../c", "/c"},
      {"/a//../b", "/b"},
      {"/.a", "/.a"},
      {"/..a", "/..a"},
      {"/a..", "/a.."},
      {"/...", "/..."},
      {"/.well-known/x", "/.well-known/x"},
      {"/a/%2e%2e/b", "/b"},
      {"/a/%2E./b", "/b"},
      {"/a/.%2e", "/"},
      {"/%2e/a", "/a"},
      {"/%41%7a%2D%5f%7E", "/Az-_~"},
      {"/a%2fb", "/a%2Fb"},
      {"/a%5cb", "/a%5Cb"},
      {"/a%20b%3f", "/a%20b%3F"},
      {"/%25%32%65", "/%252e"},
      {"/%252e%252e/a", "/%252e%252e/a"},
      {"/%c0%af", "/%C0%AF"},
      {"/a;b=c/d", "/a;b=c/d"},
      {"/a;../b", "/a;../b"},
      {"/!$&'()*+,;=:@\"<>^`{|}[]", "/!$&'()*+,;=:@\"<>^`{|}[]"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(normal(row.raw), row.path) << row.raw;
    EXPECT_EQ(normal(row.path), row.path) << "twice is once: " << row.raw;
  }
}

TEST(Target, PathsThatAreRefused) {
  for (const std::string& raw : {""s,
                                 "a"s,
                                 "/.."s,
                                 "/../"s,
                                 "/../a"s,
                                 "/a/../.."s,
                                 "/%2e%2e/a"s,
                                 "/./../a"s,
                                 "//.."s,
                                 "/a\\b"s,
                                 "/a#b"s,
                                 "/a?b"s,
                                 "/a b"s,
                                 "/a\tb"s,
                                 "/a\x7f"s,
                                 "/\x80"s,
                                 "/\xc3\xa4"s,
                                 "/a\0"s,
                                 "/%"s,
                                 "/%a"s,
                                 "/%4"s,
                                 "/%zz"s,
                                 "/%4g"s,
                                 "/%00"s,
                                 "/..;/a"s,
                                 "/..%3b/a"s,
                                 "/a/..;b=c/d"s,
                                 "/%2e%2e;/a"s,
                                 "/..%2fa"s,
                                 "/a%2f.."s,
                                 "/a%2F..%2fb"s,
                                 "/..%5ca"s,
                                 "/a/..%5c"s,
                                 "/a%5c%2e%2e/b"s}) {
    EXPECT_EQ(normal(raw), "") << raw;
  }
}

TEST(Target, APlainPathIsNotCopied) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  const std::string raw = "/api/v1/items;x=1/" + std::string(5000, 'a') + ".html";
  const auto path = normalise_path(raw, arena);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->data(), raw.data());
  EXPECT_EQ(pool.in_use(), 0u);
}

std::string parsed(const std::string& raw, Method method = Method::get) {
  base::ChunkPool pool;
  base::Arena arena(pool);
  Head head;
  head.method = method;
  if (parse_target(raw, head, arena).is_error()) return "refused";
  return std::string(head.scheme) + "|" + std::string(head.authority) + "|" +
         std::string(head.path) + (head.has_query ? "?" : "") + std::string(head.query);
}

TEST(Target, Forms) {
  EXPECT_EQ(parsed("/a?b"), "||/a?b");
  EXPECT_EQ(parsed("/a?"), "||/a?");
  EXPECT_EQ(parsed("/?a/../b?c=%zz"), "||/?a/../b?c=%zz");
  EXPECT_EQ(parsed("?a"), "refused");
  EXPECT_EQ(parsed(""), "refused");
  EXPECT_EQ(parsed("*"), "refused");
  EXPECT_EQ(parsed("*", Method::options), "||*");
  EXPECT_EQ(parsed("*a", Method::options), "refused");
  EXPECT_EQ(parsed("HTTP://A.b:80/c/../d?e"), "http|A.b:80|/d?e");
  EXPECT_EQ(parsed("https://a"), "https|a|/");
  EXPECT_EQ(parsed("http://a?b"), "http|a|/?b");
  EXPECT_EQ(parsed("http://a", Method::options), "http|a|*");
  EXPECT_EQ(parsed("http://a/", Method::options), "http|a|/");
  EXPECT_EQ(parsed("http://"), "refused");
  EXPECT_EQ(parsed("http:///a"), "refused");
  EXPECT_EQ(parsed("http:/a"), "refused");
  EXPECT_EQ(parsed("http://a\\b"), "refused");
  EXPECT_EQ(parsed("http://a#b"), "refused");
  EXPECT_EQ(parsed("ws://a/"), "refused");
  EXPECT_EQ(parsed("a:80"), "refused");
  EXPECT_EQ(parsed("a:80", Method::connect), "|a:80|/");
  EXPECT_EQ(parsed("/a?b#c"), "refused");
  EXPECT_EQ(parsed("/a?b c"), "refused");
  EXPECT_EQ(parsed("/a?\xc3"), "refused");
}

}  // namespace
}  // namespace portunus::http
