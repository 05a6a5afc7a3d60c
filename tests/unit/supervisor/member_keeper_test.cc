// What a proxy knows of members is kept for the next one, and beside it in a file.
#include "supervisor/member_keeper.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

namespace portunus::supervisor {
namespace {

class MemberKeeperTest : public testing::Test {
 protected:
  MemberKeeperTest() {
    std::string name = (std::filesystem::temp_directory_path() / "portunus-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    uv_loop_init(&loop_);
    keeper_ = std::make_unique<MemberKeeper>(loop_);
  }
  ~MemberKeeperTest() override {
    keeper_.reset();
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&loop_), 0);
    std::filesystem::remove_all(folder_);
  }
  static int make(const std::string& text, bool is_sealed = true) {
    const int file = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT_EQ(::write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    if (is_sealed) {
      EXPECT_EQ(::fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    }
    return file;
  }
  [[nodiscard]] std::string path() const { return folder_ + "/members.state"; }
  [[nodiscard]] std::string on_disk() const {
    std::ifstream file(path());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::string kept() const {
    std::array<char, 100> text{};
    const ssize_t size = ::pread(keeper_->descriptor(), text.data(), text.size(), 0);
    return size < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(size));
  }
  void run_until_written(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (on_disk() != text && std::chrono::steady_clock::now() < end)
      uv_run(&loop_, UV_RUN_ONCE);
    EXPECT_EQ(on_disk(), text);
  }

  std::string folder_;
  uv_loop_t loop_{};
  std::unique_ptr<MemberKeeper> keeper_;
};

TEST_F(MemberKeeperTest, KeepsTheLastAndWritesItDown) {
  keeper_->open(folder_);
  EXPECT_EQ(keeper_->descriptor(), -1) << "there is nothing yet";
  EXPECT_TRUE(keeper_->take(make("one")));
  EXPECT_EQ(on_disk(), "one");
  EXPECT_TRUE(keeper_->take(make("two")));
  EXPECT_TRUE(keeper_->take(make("three")));
  EXPECT_EQ(kept(), "three") << "at once";
  EXPECT_EQ(on_disk(), "one") << "not more often than once a second";
  run_until_written("three");
  struct stat about{};
  ASSERT_EQ(::stat(path().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
  EXPECT_TRUE(keeper_->take(make("four")));
  keeper_->flush();
  EXPECT_EQ(on_disk(), "four");
  // The next life.
  keeper_ = std::make_unique<MemberKeeper>(loop_);
  keeper_->open(folder_);
  EXPECT_EQ(kept(), "four");
}

TEST_F(MemberKeeperTest, TakesNothingThatCouldChangeOrHasNoEnd) {
  EXPECT_TRUE(keeper_->take(make("good")));
  EXPECT_FALSE(keeper_->take(make("open", false)));
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  EXPECT_FALSE(keeper_->take(pipe[0]));
  EXPECT_LT(::fcntl(pipe[0], F_GETFD), 0) << "closed";
  ::close(pipe[1]);
  const int large = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(large, static_cast<off_t>(MemberKeeper::kSizeMax) + 1), 0);
  ASSERT_EQ(::fcntl(large, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
  EXPECT_FALSE(keeper_->take(large));
  EXPECT_EQ(kept(), "good");
}

TEST_F(MemberKeeperTest, AFileOfTheWrongKindIsIgnored) {
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  keeper_->open(folder_);
  EXPECT_EQ(keeper_->descriptor(), -1) << "and does not wait";
  ASSERT_EQ(::unlink(path().c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", path().c_str()), 0);
  keeper_->open(folder_);
  EXPECT_EQ(keeper_->descriptor(), -1);
  ASSERT_EQ(::unlink(path().c_str()), 0);
  std::ofstream(path()) << "x";
  ASSERT_EQ(::truncate(path().c_str(), static_cast<off_t>(MemberKeeper::kSizeMax) + 1), 0);
  keeper_->open(folder_);
  EXPECT_EQ(keeper_->descriptor(), -1);
  EXPECT_TRUE(keeper_->take(make("new")));
  EXPECT_EQ(on_disk(), "new") << "in its place";
}

TEST_F(MemberKeeperTest, GoesOnWithoutAFolder) {
  keeper_->open(folder_ + "/none");
  EXPECT_TRUE(keeper_->take(make("one")));
  EXPECT_TRUE(keeper_->take(make("two")));
  EXPECT_EQ(kept(), "two");
  keeper_->flush();
  std::filesystem::create_directory(folder_ + "/none");
  keeper_->flush();  // it is tried again
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/none/members.state"));
}

// By which the next proxy sees until when it was true.
TEST_F(MemberKeeperTest, RenewsTheStamp) {
  keeper_->open(folder_);
  EXPECT_TRUE(keeper_->take(make("one")));
  keeper_->adopt(::dup(keeper_->descriptor()));
  const std::array<timespec, 2> then{{{1'000, 0}, {1'000, 0}}};
  ASSERT_EQ(::futimens(keeper_->descriptor(), then.data()), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, path().c_str(), then.data(), 0), 0);
  const auto stamp = [](const auto& about) {
    return about.st_mtim.tv_sec;
  };
  struct stat about{};
  keeper_->renew();
  ASSERT_EQ(::fstat(keeper_->descriptor(), &about), 0);
  EXPECT_EQ(stamp(about), 1'000) << "it is young";
  keeper_ = std::make_unique<MemberKeeper>(loop_);
  keeper_->open(folder_);
  keeper_->renew();
  ASSERT_EQ(::stat(path().c_str(), &about), 0);
  EXPECT_GT(stamp(about), 1'000'000);
}

}  // namespace
}  // namespace portunus::supervisor
