#include "conf/diagnostic.h"

#include <gtest/gtest.h>

#include <string>

#include <nlohmann/json.hpp>

#include "conf/load.h"

namespace portunus::conf {
namespace {

TEST(Diagnostic, TextHasLineCaretAndHint) {
  const LoadResult result =
      load_text("sites:\n  \"http://:80\": 127.0.0.1:1\ntimeout: {}\n", "a.yaml");
  EXPECT_FALSE(result.model);
  EXPECT_EQ(format_text(result.diagnostics),
            "a.yaml:3:1: error: unknown key `timeout` in the file\n"
            "    3 | timeout: {}\n"
            "      | ^\n"
            "      hint: did you mean `timeouts`?\n");
}

TEST(Diagnostic, CaretStandsUnderCharactersNotBytes) {
  const LoadResult result = load_text("\"\xc3\xbc\xc3\xbc\": 1\n", "a.yaml");
  const LoadResult second = load_text("{\"\xc3\xbc\": 1, x: 2}\n", "a.yaml");
  ASSERT_EQ(second.diagnostics.size(), 2U);
  EXPECT_EQ(second.diagnostics[1].column, 10U);
  EXPECT_NE(format_text(second.diagnostics[1]).find("\n      |          ^\n"), std::string::npos)
      << format_text(second.diagnostics[1]);
  EXPECT_FALSE(result.model);
}

TEST(Diagnostic, LongLinesAreCut) {
  const std::string long_line =
      "{sites: {}, " + std::string(5000, ' ') + "nope: 1, " + std::string(5000, ' ') + "}\n";
  const LoadResult result = load_text(long_line, "a.yaml");
  ASSERT_FALSE(result.diagnostics.empty());
  const Diagnostic& d = result.diagnostics[0];
  EXPECT_EQ(d.column, 5013U);
  EXPECT_LE(d.source_line.size(), 160U);
  EXPECT_EQ(d.source_line.substr(d.caret, 4), "nope");
}

TEST(Diagnostic, LongLinesOfBrokenTextKeepTheCaretInside) {
  const LoadResult result = load_text(std::string(100, 'x') + std::string(500, '\x80'), "a.yaml");
  ASSERT_EQ(result.diagnostics.size(), 1U);
  EXPECT_EQ(result.diagnostics[0].column, 101U);
  EXPECT_LT(result.diagnostics[0].caret, result.diagnostics[0].source_line.size());
}

TEST(Diagnostic, ControlCharactersDoNotReachTheTerminal) {
  Diagnostic d{.severity = Severity::error,
               .file = "a\x1b[2J",
               .line = 1,
               .column = 1,
               .message = "m\r\n",
               .hint = "\x07",
               .source_line = "\x1b]0;x",
               .caret = 0};
  const std::string text = format_text(d);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
}

TEST(Diagnostic, JsonIsJsonWhateverTheFileIsCalled) {
  const LoadResult result = load_text("x: 1\n", "a\xff\".yaml");
  const auto parsed = nlohmann::json::parse(format_json(result.diagnostics));
  ASSERT_EQ(parsed.size(), 1U);
  EXPECT_EQ(parsed[0]["line"], 1);
  EXPECT_EQ(parsed[0]["column"], 1);
  EXPECT_EQ(parsed[0]["severity"], "error");
  EXPECT_EQ(parsed[0]["source_line"], "x: 1");
  EXPECT_EQ(format_json({}), "[]\n");
}

TEST(Diagnostic, ThousandsOfErrorsAreBounded) {
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += "k" + std::to_string(i) + ": 1\n";
  const LoadResult result = load_text(text, "a.yaml");
  EXPECT_EQ(result.diagnostics.size(), 1001U);
  EXPECT_EQ(result.diagnostics.back().message, "and 2000 more messages");
  EXPECT_TRUE(has_errors(result.diagnostics));
}

}  // namespace
}  // namespace portunus::conf
