#include "http/cookie.h"

#include <gtest/gtest.h>

namespace portunus::http {
namespace {

TEST(Cookie, FindsTheValueOfAName) {
  struct Row {
    const char* field;
    const char* name;
    const char* value;
  };
  const Row rows[] = {
      {"a=1", "a", "1"},      {"a=1; b=2", "b", "2"},   {"a=1;b=2;c=3", "b", "2"},
      {"a=1; a=2", "a", "1"}, {"ab=1; a=2", "a", "2"},  {"a=1", "b", ""},
      {"", "a", ""},          {"a", "a", ""},           {"=x", "a", ""},
      {"a=\"q\"", "a", "q"},  {"a=\"", "a", "\""},      {"a=x=y", "a", "x=y"},
      {"  \ta=1", "a", "1"},  {";;; ; a=1;", "a", "1"}, {"b; a=1", "a", "1"},
      {"a=1 ;b=2", "a", "1"}, {"a=1\t ", "a", "1"},     {"a=\" q \" ", "a", " q "},
      {"A=1", "a", ""},       {"a=; b=1", "a", ""},
  };
  for (const Row& row : rows)
    EXPECT_EQ(cookie_value(row.field, row.name), row.value) << row.field;
}

}  // namespace
}  // namespace portunus::http
