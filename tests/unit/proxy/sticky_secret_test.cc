#include "proxy/sticky_secret.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace portunus::proxy {
namespace {

class StickySecretTest : public testing::Test {
 protected:
  StickySecretTest() {
    std::string above = (std::filesystem::temp_directory_path() / "portunus-key-XXXXXX").string();
    EXPECT_NE(::mkdtemp(above.data()), nullptr);
    above_ = above;
    folder_ = above + "/state";
  }
  ~StickySecretTest() override { std::filesystem::remove_all(above_); }
  StickySecretTest(const StickySecretTest&) = delete;
  StickySecretTest& operator=(const StickySecretTest&) = delete;

  [[nodiscard]] std::string secret() const { return StickySecret().in(folder_); }
  [[nodiscard]] std::string file() const { return sticky_secret_path(folder_); }

  std::filesystem::path above_;
  std::string folder_;
};

TEST_F(StickySecretTest, IsMadeOnceAndKept) {
  const std::string first = secret();
  EXPECT_EQ(first.size(), StickySecret::kHexDigits);
  EXPECT_EQ(first.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(secret(), first);
  std::filesystem::remove(file());
  EXPECT_NE(secret(), first);
}

TEST_F(StickySecretTest, NobodyElseReadsIt) {
  static_cast<void>(secret());
  struct stat status{};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_))
    ++files;
  EXPECT_EQ(files, 1U) << "nothing is left beside it";
}

TEST_F(StickySecretTest, StaysTheSameWhateverBecomesOfTheFile) {
  StickySecret kept;
  const std::string first = kept.in(folder_);
  std::filesystem::remove(file());
  EXPECT_EQ(kept.in(folder_), first);
}

TEST_F(StickySecretTest, WithoutAFileItIsGoodForTheProcess) {
  std::filesystem::create_directories(std::filesystem::path(file()).parent_path());
  const auto expect_own = [this] {
    StickySecret own;
    const std::string first = own.in(folder_);
    EXPECT_EQ(first.size(), StickySecret::kHexDigits);
    EXPECT_EQ(own.in(folder_), first);
    EXPECT_NE(secret(), first);
  };
  std::ofstream(file()) << "short\n";
  std::filesystem::permissions(file(), std::filesystem::perms(0600));
  expect_own();
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());
  expect_own();
  std::filesystem::remove(file());
  std::filesystem::create_symlink("/dev/zero", file());
  expect_own();
}

TEST_F(StickySecretTest, OneThatOthersMayReadIsNotUsed) {
  const std::string first = secret();
  std::filesystem::permissions(file(), std::filesystem::perms(0644));
  EXPECT_NE(secret(), first);
  std::filesystem::permissions(file(), std::filesystem::perms(0600));
  EXPECT_EQ(secret(), first);
}

TEST(NeedsStickySecret, OnlyWithoutOneOfThePool) {
  conf::Model model;
  model.pools.resize(2);
  EXPECT_FALSE(needs_sticky_secret(model));
  model.pools[1].sticky.emplace().secret = "x";
  EXPECT_FALSE(needs_sticky_secret(model));
  model.pools[0].sticky.emplace();
  EXPECT_TRUE(needs_sticky_secret(model));
}

}  // namespace
}  // namespace portunus::proxy
