#include "proxy/admin_explain.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace portunus::proxy {
namespace {

TEST(ReadQuestion, TakesAllParts) {
  const auto question = read_question(
      R"({"url":"http://x/","method":"PUT","headers":["A: b"],"client":"::1","listener":"l"})");
  ASSERT_TRUE(question.has_value());
  EXPECT_EQ(question->url, "http://x/");
  EXPECT_EQ(question->method, "PUT");
  EXPECT_EQ(question->fields, std::vector<std::string>{"A: b"});
  EXPECT_EQ(question->client, "::1");
  EXPECT_EQ(question->listener, "l");
}

TEST(ReadQuestion, RefusesWhatIsNone) {
  for (const char* body : {"", "[]", "{", R"({"url":1})", R"({"headers":"A: b"})",
                           R"({"headers":[1]})", R"({"uri":"http://x/"})"}) {
    EXPECT_FALSE(read_question(body).has_value()) << body;
  }
}

TEST(ExplanationJson, SaysWhatIsKnown) {
  Explanation explanation;
  explanation.host = "x";
  explanation.outcome = "forward";
  ExplainedPool& pool = explanation.pools.emplace_back();
  pool.view.name = "web";
  pool.share = 0.25;
  pool.is_chosen = false;
  pool.why = "so";
  const auto json = nlohmann::json::parse(explanation_json(explanation));
  EXPECT_EQ(json["host"], "x");
  EXPECT_FALSE(json.contains("status"));
  EXPECT_FALSE(json.contains("reason"));
  EXPECT_EQ(json["pools"][0]["name"], "web");
  EXPECT_EQ(json["pools"][0]["share"], 0.25);
  EXPECT_EQ(json["pools"][0]["chosen"], false);
  EXPECT_EQ(json["pools"][0]["why"], "so");
  EXPECT_FALSE(json["pools"][0].contains("next"));
}

}  // namespace
}  // namespace portunus::proxy
