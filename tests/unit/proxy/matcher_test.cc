#include "proxy/matcher.h"

#include <gtest/gtest.h>

#include <memory>

namespace portunus::proxy {
namespace {

using conf::FieldTest;

class MatcherTest : public testing::Test {
 protected:
  [[nodiscard]] bool matches() const { return Matcher(match_).matches(*request_); }
  void use_method(std::string_view text) {
    request_->method_text = text;
    request_->method = http::method_of(text);
  }
  void use_query(std::string_view query) {
    request_->has_query = true;
    request_->query = query;
  }

  conf::Match match_;
  std::unique_ptr<http::Head> request_ = std::make_unique<http::Head>();
};

TEST_F(MatcherTest, OnlyPathsIsTrivial) {
  match_.paths.push_back({"/api", true});
  EXPECT_TRUE(Matcher::is_trivial(match_));
  EXPECT_TRUE(matches());
}

TEST_F(MatcherTest, OneOfTheMethodsIsEnough) {
  match_.methods = {"GET", "POST"};
  EXPECT_FALSE(Matcher::is_trivial(match_));
  use_method("GET");
  EXPECT_TRUE(matches());
  use_method("POST");
  EXPECT_TRUE(matches());
  use_method("HEAD");
  EXPECT_FALSE(matches());
  use_method("PROPFIND");
  EXPECT_FALSE(matches());
}

TEST_F(MatcherTest, MethodsWithoutAnIdCompareAsText) {
  match_.methods = {"GET", "PROPFIND"};
  use_method("PROPFIND");
  EXPECT_TRUE(matches());
  use_method("PROPPATCH");
  EXPECT_FALSE(matches());
  use_method("GET");
  EXPECT_TRUE(matches());
}

TEST_F(MatcherTest, HeaderByKnownIdAndByText) {
  for (const char* name : {"user-agent", "x-tenant"}) {
    request_->fields.clear();
    match_.headers = {{name, FieldTest::present, ""}};
    EXPECT_FALSE(matches()) << name;
    ASSERT_TRUE(request_->fields.add(std::string_view(name), "blue-7"));
    EXPECT_TRUE(matches()) << name;
    match_.headers = {{name, FieldTest::exact, "blue"}};
    EXPECT_FALSE(matches()) << name;
    match_.headers = {{name, FieldTest::exact, "blue-7"}};
    EXPECT_TRUE(matches()) << name;
    match_.headers = {{name, FieldTest::prefix, "blue-"}};
    EXPECT_TRUE(matches()) << name;
    match_.headers = {{name, FieldTest::prefix, "red-"}};
    EXPECT_FALSE(matches()) << name;
  }
}

TEST_F(MatcherTest, AnyFieldOfTheNameMayHoldAndRemovedOnesDoNot) {
  match_.headers = {{"x-tenant", FieldTest::exact, "b"}};
  ASSERT_TRUE(request_->fields.add("x-other", "b"));
  ASSERT_TRUE(request_->fields.add("x-tenant", "a"));
  EXPECT_FALSE(matches());
  ASSERT_TRUE(request_->fields.add("x-tenant", "b"));
  EXPECT_TRUE(matches());
  request_->fields.remove_at(2);
  EXPECT_FALSE(matches());
}

TEST_F(MatcherTest, AllPartsMustHold) {
  match_.methods = {"GET"};
  match_.headers = {{"accept", FieldTest::present, ""}, {"x-a", FieldTest::present, ""}};
  match_.query = {{"v", FieldTest::exact, "2"}};
  use_method("GET");
  ASSERT_TRUE(request_->fields.add("accept", "*/*"));
  use_query("v=2");
  EXPECT_FALSE(matches());
  ASSERT_TRUE(request_->fields.add("x-a", ""));
  EXPECT_TRUE(matches());
  use_query("v=3");
  EXPECT_FALSE(matches());
  request_->has_query = false;
  EXPECT_FALSE(matches());
}

TEST(MatchesQuery, Table) {
  struct Row {
    FieldTest test;
    const char* value;
    const char* query;
    bool expected;
  };
  const Row rows[] = {
      {FieldTest::present, "", "v", true},
      {FieldTest::present, "", "v=", true},
      {FieldTest::present, "", "a=1&v=2", true},
      {FieldTest::present, "", "a=v", false},
      {FieldTest::present, "", "vv=1", false},
      {FieldTest::present, "", "V=1", false},
      {FieldTest::present, "", "", false},
      {FieldTest::present, "", "&&=&v", true},
      {FieldTest::present, "", "%76=1", true},
      {FieldTest::exact, "2", "v=2", true},
      {FieldTest::exact, "2", "v=22", false},
      {FieldTest::exact, "2", "v=1&v=2", true},
      {FieldTest::exact, "2", "v=%32", true},
      {FieldTest::exact, "", "v", true},
      {FieldTest::exact, "", "v=1", false},
      {FieldTest::exact, "a b", "v=a+b", true},
      {FieldTest::exact, "a b", "v=a%20b", true},
      {FieldTest::exact, "a&b", "v=a%26b", true},
      {FieldTest::exact, "a=b", "v=a=b", true},
      {FieldTest::exact, "%3", "v=%3", true},  // a broken escape stands for itself
      {FieldTest::exact, "%zz", "v=%zz", true},
      {FieldTest::exact, "%", "v=%", true},
      {FieldTest::prefix, "be", "v=beta", true},
      {FieldTest::prefix, "be", "v=b", false},
      {FieldTest::prefix, "be", "v=%62eta", true},
      {FieldTest::prefix, "be", "w=beta", false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(matches_query({"v", row.test, row.value}, row.query), row.expected)
        << row.query << " against " << row.value;
  }
}

}  // namespace
}  // namespace portunus::proxy
