#include "discovery/token_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace portunus::discovery {
namespace {

class TokenFileTest : public testing::Test {
 protected:
  TokenFileTest() { file_.set(path_); }
  ~TokenFileTest() override { std::filesystem::remove(path_); }
  // Another file in its place, as secrets are renewed.
  void write(const std::string& text) {
    std::ofstream(path_ + ".new") << text;
    std::filesystem::rename(path_ + ".new", path_);
  }
  const std::string path_ = testing::TempDir() + "/token_file." + std::to_string(::getpid());
  TokenFile file_;
};

TEST_F(TokenFileTest, IsReadAgainWhenItChanges) {
  EXPECT_FALSE(file_.refresh());
  write("\t first \r\n");
  EXPECT_TRUE(file_.refresh());
  EXPECT_EQ(file_.token(), "first");
  write("second");
  EXPECT_TRUE(file_.refresh());
  EXPECT_EQ(file_.token(), "second");
}

TEST_F(TokenFileTest, TheLastTokenStaysWhileThereIsNoGoodOne) {
  write("good");
  ASSERT_TRUE(file_.refresh());
  for (const std::string& wrong :
       {std::string(), std::string("\n"), std::string("a\nb"), std::string("a b"),
        std::string("\xc3\xa9"), std::string(TokenFile::kTokenMax + 1, 'x')}) {
    write(wrong);
    EXPECT_TRUE(file_.refresh());
    EXPECT_EQ(file_.token(), "good");
  }
  std::filesystem::remove(path_);
  EXPECT_TRUE(file_.refresh());
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_TRUE(file_.refresh()) << "and does not wait for a writer";
  EXPECT_EQ(file_.token(), "good");
}

TEST_F(TokenFileTest, AnotherFileHasNothingOfTheOld) {
  write("good");
  ASSERT_TRUE(file_.refresh());
  file_.set(path_ + ".other");
  EXPECT_FALSE(file_.refresh());
  EXPECT_EQ(file_.token(), "");
}

}  // namespace
}  // namespace portunus::discovery
