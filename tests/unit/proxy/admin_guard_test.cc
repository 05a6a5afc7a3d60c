// Which requests to the admin interface need its token, and what counts as one.
#include "proxy/admin_guard.h"

#include <gtest/gtest.h>

#include <string>

#include "conf/model.h"

namespace portunus::proxy {
namespace {

using http::HeaderId;
using http::Method;

constexpr const char* kToken = "0123456789abcdef";
constexpr const char* kRight = "Bearer 0123456789abcdef";

conf::Admin config(conf::TokenFor token_for = conf::TokenFor::changes) {
  conf::Admin config;
  config.token = kToken;
  config.token_for = token_for;
  return config;
}

bool lacks(Method method, bool is_probe, const conf::Admin& admin, const std::string& sent = "") {
  http::Head head;
  head.method = method;
  if (!sent.empty()) head.fields.add(HeaderId::authorization, sent);
  return lacks_token(head, is_probe, admin);
}

TEST(AdminGuard, WithoutATokenNobodyIsAsked) {
  EXPECT_FALSE(lacks(Method::post, false, {}));
  EXPECT_FALSE(lacks(Method::post, false, {}, "Bearer whatever"));
}

TEST(AdminGuard, WhatChangesSomethingNeedsIt) {
  for (const Method method : {Method::post, Method::put, Method::delete_, Method::patch,
                              Method::options, Method::trace, Method::connect, Method::other}) {
    for (const bool is_probe : {false, true}) {
      EXPECT_TRUE(lacks(method, is_probe, config()));
      EXPECT_FALSE(lacks(method, is_probe, config(), kRight));
    }
  }
  EXPECT_FALSE(lacks(Method::get, false, config()));
  EXPECT_FALSE(lacks(Method::head, false, config()));
}

TEST(AdminGuard, ReadingMayNeedItToo) {
  const conf::Admin all = config(conf::TokenFor::all);
  for (const Method method : {Method::get, Method::head}) {
    EXPECT_TRUE(lacks(method, false, all));
    EXPECT_FALSE(lacks(method, false, all, kRight));
    EXPECT_FALSE(lacks(method, true, all));
  }
  EXPECT_TRUE(lacks(Method::post, true, all));
}

TEST(AdminGuard, OnlyTheTokenCounts) {
  const std::string token = kToken;
  for (const std::string& right : {"Bearer " + token, "bearer " + token, "BEARER   " + token})
    EXPECT_FALSE(lacks(Method::post, false, config(), right)) << right;
  for (const std::string& wrong :
       {token, "Basic " + token, "Bearer" + token, std::string("Bearer"), std::string("Bearer "),
        "Bearer " + token + "0", "Bearer " + token.substr(1), "Bearer 1" + token.substr(1),
        "Bearer " + token.substr(0, 15) + "e", std::string("Bearer 0123456789ABCDEF"),
        "Bearer " + token + " x"})
    EXPECT_TRUE(lacks(Method::post, false, config(), wrong)) << wrong;
}

TEST(AdminGuard, OneFieldAlone) {
  http::Head head;
  head.method = Method::post;
  head.fields.add(HeaderId::authorization, kRight);
  EXPECT_FALSE(lacks_token(head, false, config()));
  head.fields.add(HeaderId::authorization, kRight);
  EXPECT_TRUE(lacks_token(head, false, config()));
}

}  // namespace
}  // namespace portunus::proxy
