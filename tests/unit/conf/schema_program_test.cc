// The admin interface's token: where it comes from, what cannot be one, and that no message tells it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kToken = "0123456789-abc+/";
constexpr const char* kProgramSite = "sites: { \"http://:80\": 127.0.0.1:1 }\n";

std::string shown(const LoadResult& result) {
  return format_text(result.diagnostics) + format_json(result.diagnostics);
}

class AdminToken : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "portunus-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  LoadResult load(const std::string& admin) {
    return load_file(write("main.yaml", kProgramSite + admin + "\n"));
  }

  std::filesystem::path folder_;
};

TEST_F(AdminToken, IsATextAFileOrAVariable) {
  LoadResult result = load("admin: 127.0.0.1:9180");
  ASSERT_TRUE(result.model);
  EXPECT_EQ(result.model->admin.token, "");
  EXPECT_EQ(result.model->admin.token_for, TokenFor::changes);

  result = load(std::string("admin: { token: \"") + kToken + "\", token_for: all }");
  ASSERT_TRUE(result.model) << shown(result);
  EXPECT_EQ(result.model->admin.token, kToken);
  EXPECT_EQ(result.model->admin.token_for, TokenFor::all);

  const std::string file = write("token", std::string(kToken) + "\n");
  result = load("admin: { token: \"file:" + file + "\" }");
  ASSERT_TRUE(result.model) << shown(result);
  EXPECT_EQ(result.model->admin.token, kToken);
  EXPECT_THAT(result.files, testing::Contains(file)) << "watched";

  ::setenv("PORTUNUS_TEST_TOKEN", kToken, 1);
  result = load("admin: { token: \"${PORTUNUS_TEST_TOKEN}\" }");
  ASSERT_TRUE(result.model) << shown(result);
  EXPECT_EQ(result.model->admin.token, kToken);
}

TEST_F(AdminToken, WhatIsNoneIsRefused) {
  ::setenv("PORTUNUS_TEST_TOKEN", "", 1);
  const std::pair<std::string, const char*> rows[] = {
      {"token: 0123456789abcde", "from 16 to 1024 characters"},
      {"token: " + std::string(1025, 'x'), "from 16 to 1024 characters"},
      {"token: \"\"", "from 16 to 1024 characters"},
      {"token: \"${PORTUNUS_TEST_TOKEN}\"", "from 16 to 1024 characters"},
      {"token:", "`token` has no value"},
      {"token: [0123456789abcdef]", "takes a single value"},
      {"token: \"0123456789 abcdef\"", "no spaces"},
      {"token: \"0123456789\\nabcdef\"", "no spaces"},
      {"token: \"file:secrets/admin.token\"", "absolute path"},
      {"token: \"file:/no/such/admin.token\"", "cannot open the file"},
      {"token: \"file:" + write("short", "0123456789abcde\n") + "\"", "from 16 to 1024 characters"},
      {"token: \"file:" + write("empty", "") + "\"", "the file is empty"},
      {"token: \"file:" + write("lines", "0123456789\nabcdef\n") + "\"", "no spaces"},
      {"token_for: reading", "expected `changes` or `all`"},
  };
  for (const auto& [text, why] : rows) {
    const LoadResult result = load("admin: { " + text + " }");
    EXPECT_EQ(result.model, nullptr) << text;
    EXPECT_THAT(format_text(result.diagnostics), HasSubstr(why)) << text;
  }
}

TEST_F(AdminToken, NoMessageTellsIt) {
  for (const char* bad : {
           "admin: { token: \"sesame open\" }",
           "admin:\n  token:\n    sesame open",
           "admin:\n  token: sesame open\n  token: sesame shut",
           "admin: { listen: 10.0.0.1:1, token: sesame0123456789 }",
           "admin: { unknown: 1, \"token\" : sesame0123456789 }",
           "admin: { token: sesame0123456789",
           "admin:\n\ttoken: sesame0123456789",
       }) {
    const LoadResult result = load(bad);
    EXPECT_EQ(result.model, nullptr) << bad;
    EXPECT_THAT(shown(result), Not(HasSubstr("sesame"))) << bad;
  }
  const LoadResult result = load("admin: { token_for: token }");
  EXPECT_THAT(format_text(result.diagnostics), HasSubstr("| admin: {")) << "other lines are shown";
}

}  // namespace
}  // namespace portunus::conf
