#include "proxy/cors.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::proxy {
namespace {

using http::HeaderBlock;
using http::HeaderId;

std::string text_of(const HeaderBlock& fields) {
  std::string out;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields.is_removed(i)) continue;
    out += std::string(fields.field(i).name()) + "=" + std::string(fields.field(i).value()) + ";";
  }
  return out;
}

TEST(Cors, ExactlyOrOneLabelBelow) {
  conf::Cors cors;
  cors.allow_origins = {"https://app.example.org", "https://*.example.net:8443"};
  struct Row {
    const char* given;
    bool is_allowed;
  };
  const Row rows[] = {
      {"https://app.example.org", true},
      {"http://app.example.org", false},
      {"https://app.example.org:8443", false},
      {"https://app.example.org.evil.example", false},
      {"https://evil.example/https://app.example.org", false},
      {"https://xapp.example.org", false},
      {"https://APP.example.org", false},
      {"https://app.example.or", false},
      {"https://a.example.net:8443", true},
      {"https://a-1.example.net:8443", true},
      {"https://a.b.example.net:8443", false},
      {"https://.example.net:8443", false},
      {"https://example.net:8443", false},
      {"https://a.example.net", false},
      {"https://evil.example/.example.net:8443", false},
      {"https://evil?.example.net:8443", false},
      {"https://u@e.example.net:8443", false},
      {"https://u@.example.net:8443", false},
      {"null", false},
      {"", false},
  };
  for (const Row& row : rows)
    EXPECT_EQ(is_allowed(cors, row.given), row.is_allowed) << row.given;
}

TEST(Cors, NothingStandsTwice) {
  conf::Cors cors;
  cors.allow_origins = {"https://a.example"};
  cors.has_credentials = true;
  cors.exposed = "ETag";
  HeaderBlock fields;
  fields.add("access-control-allow-origin", "*");
  fields.add("access-control-allow-credentials", "false");
  fields.add("access-control-anything", "x");
  fields.add(HeaderId::vary, "Cookie");
  ASSERT_TRUE(apply_cors(cors, "https://a.example", fields));
  EXPECT_EQ(text_of(fields),
            "vary=Cookie;vary=Origin;access-control-allow-origin=https://a.example;"
            "access-control-allow-credentials=true;access-control-expose-headers=ETag;");
}

TEST(Cors, WhoIsNotAllowedGetsNothingNotEvenTheMembers) {
  conf::Cors cors;
  cors.allow_origins = {"https://a.example"};
  for (const char* const given : {"https://b.example", ""}) {
    HeaderBlock fields;
    fields.add("access-control-allow-origin", "*");
    ASSERT_TRUE(apply_cors(cors, given, fields));
    EXPECT_EQ(text_of(fields), "vary=Origin;");
  }
}

TEST(Cors, VaryOnceAndNotForAll) {
  conf::Cors cors;
  cors.allow_origins = {"https://a.example"};
  HeaderBlock named;
  named.add(HeaderId::vary, "Accept, origin");
  ASSERT_TRUE(apply_cors(cors, "", named));
  EXPECT_EQ(text_of(named), "vary=Accept, origin;");
  HeaderBlock star;
  star.add(HeaderId::vary, "*");
  ASSERT_TRUE(apply_cors(cors, "", star));
  EXPECT_EQ(text_of(star), "vary=*;");
  conf::Cors all;
  all.cors_any = true;
  HeaderBlock fields;
  ASSERT_TRUE(apply_cors(all, "", fields));
  EXPECT_EQ(text_of(fields), "access-control-allow-origin=*;");
}

TEST(Cors, WhatIsAQuestion) {
  http::Head request;
  request.clear();
  request.method = http::Method::options;
  request.fields.add("access-control-request-method", "PUT");
  EXPECT_EQ(asked_method(request), "") << "no browser";
  request.fields.add(HeaderId::origin, "https://a.example");
  EXPECT_EQ(asked_method(request), "PUT");
  request.method = http::Method::get;
  EXPECT_EQ(asked_method(request), "");
  request.method = http::Method::options;
  request.fields.remove("access-control-request-method");
  EXPECT_EQ(asked_method(request), "");
}

TEST(Cors, TheAnswerToTheQuestion) {
  conf::Cors cors;
  cors.methods = "GET, PUT";
  cors.headers = "X-Tenant";
  cors.max_age_text = "600";
  HeaderBlock fields;
  ASSERT_TRUE(add_preflight_fields(cors, fields));
  EXPECT_EQ(text_of(fields),
            "access-control-allow-methods=GET, PUT;access-control-allow-headers=X-Tenant;"
            "access-control-max-age=600;");
}

}  // namespace
}  // namespace portunus::proxy
