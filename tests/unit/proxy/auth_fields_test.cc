// The fields of a question to a service that decides, and of its answer.
#include "proxy/auth_fields.h"

#include <gtest/gtest.h>

#include <array>

namespace portunus::proxy {
namespace {

using http::HeaderId;

struct AuthFieldsTest : testing::Test {
  AuthFieldsTest() {
    request.clear();
    request.arena = &arena;
    request.method_text = "POST";
    request.path = "/a";
    request.query = "x=1";
    request.has_query = true;
  }
  [[nodiscard]] bool asks(std::string_view name) const {
    return question.fields.find(name) != http::HeaderBlock::kNone;
  }

  base::ChunkPool chunks;
  base::Arena arena{chunks};
  http::Head request;
  http::Head question;
  std::array<std::string, 2> names{"remote-user", "authorization"};
};

TEST_F(AuthFieldsTest, ANameInAllItsSpellings) {
  for (const char* name : {"remote-user", "remote_user", "remote.user", "authorization"})
    EXPECT_TRUE(is_auth_field(names, name)) << name;
  for (const char* name : {"remote-users", "remote", "remoteuser", ""})
    EXPECT_FALSE(is_auth_field(names, name)) << name;
}

TEST_F(AuthFieldsTest, AllOfThemGo) {
  for (const char* name : {"remote-user", "remote_user", "authorization", "accept"})
    request.fields.add(name, "x");
  remove_auth_fields(names, request.fields);
  EXPECT_FALSE(request.fields.has(HeaderId::authorization));
  EXPECT_EQ(request.fields.find("remote-user"), http::HeaderBlock::kNone);
  EXPECT_EQ(request.fields.find("remote_user"), http::HeaderBlock::kNone);
  EXPECT_TRUE(request.fields.has(HeaderId::accept));
}

TEST_F(AuthFieldsTest, TheQuestionIsAGetWithoutABody) {
  for (const char* name :
       {"content-length", "content-type", "expect", "if-none-match", "range", "upgrade", "te",
        "remote_user", "remote-user", "x-forwarded-uri", "x_forwarded_uri", "x_forwarded_for",
        "x-original-url", "x_original_method", "x-rewrite-url", "x-http-method-override"})
    request.fields.add(name, "x");
  for (const char* name : {"cookie", "authorization", "accept", "x-tenant"})
    request.fields.add(name, name);
  ASSERT_TRUE(make_question(request, names, question));
  ASSERT_TRUE(name_request(request, question));
  EXPECT_EQ(question.method_text, "GET");
  EXPECT_EQ(question.body, http::BodyKind::none);
  EXPECT_EQ(question.fields.size(), 6U);
  for (const char* name : {"cookie", "authorization", "accept", "x-tenant"})
    EXPECT_TRUE(asks(name)) << name;
  EXPECT_EQ(question.fields.field(question.fields.find("x-forwarded-uri")).value(), "/a?x=1");
  EXPECT_EQ(question.fields.field(question.fields.find("x-forwarded-method")).value(), "POST");
}

TEST_F(AuthFieldsTest, WhatIsCopiedAndWhatIsNot) {
  http::HeaderBlock answer;
  answer.add("remote-user", "alice");
  answer.add("remote-user", "bob");
  answer.add("set-cookie", "x");
  ASSERT_TRUE(copy_auth_fields(names, answer, request));
  EXPECT_EQ(request.fields.size(), 2U);
  EXPECT_EQ(request.fields.field(1).value(), "bob");
}

}  // namespace
}  // namespace portunus::proxy
