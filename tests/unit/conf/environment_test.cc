#include "conf/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace portunus::conf {
namespace {

class Environment : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PORTUNUS_TEST_SET", "value", 1);
    ::setenv("PORTUNUS_TEST_EMPTY", "", 1);
    ::unsetenv("PORTUNUS_TEST_UNSET");
  }
};

TEST_F(Environment, ReplacesReferences) {
  EXPECT_EQ(replace_environment("a${PORTUNUS_TEST_SET}b"), "avalueb");
  EXPECT_EQ(replace_environment("${PORTUNUS_TEST_SET}${PORTUNUS_TEST_SET}"), "valuevalue");
  EXPECT_EQ(replace_environment("${PORTUNUS_TEST_UNSET:-1:-2}"), "1:-2");
  EXPECT_EQ(replace_environment("${PORTUNUS_TEST_EMPTY:-x}"), "x");
  EXPECT_EQ(replace_environment("${PORTUNUS_TEST_EMPTY}"), "");
  EXPECT_EQ(replace_environment("$${PORTUNUS_TEST_SET} costs 5$ $$"),
            "${PORTUNUS_TEST_SET} costs 5$ $$");
}

TEST_F(Environment, RefusesWhatItCannotReplace) {
  EXPECT_NE(replace_environment("${PORTUNUS_TEST_UNSET}").error().find("is not set"),
            std::string::npos);
  EXPECT_NE(replace_environment("${PORTUNUS").error().find("without its `}`"), std::string::npos);
  for (const char* wrong : {"${}", "${1A}", "${A B}", "${:-x}"}) {
    EXPECT_FALSE(replace_environment(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace portunus::conf
