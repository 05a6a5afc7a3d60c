// FileWatch with real files and the system's own inotify.
#include "proxy/file_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/loop_driver.h"

namespace portunus::proxy {
namespace {

using testing::UnorderedElementsAre;

class FileWatchTest : public testing::Test, private FileWatchHandler {
 protected:
  FileWatchTest() {
    std::string name = (std::filesystem::temp_directory_path() / "portunus-watch-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~FileWatchTest() override {
    driver_.turn([&] { watch_.stop(); });
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + '/' + name; }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(path(name)) << text;
  }
  void watch(const std::vector<std::string>& files) {
    driver_.turn([&] { EXPECT_TRUE(watch_.watch(files, {})); });
  }
  // What the first call tells.
  std::vector<std::string> wait_for_change() {
    EXPECT_TRUE(driver_.run_until([&] { return !told_.empty(); }, 20'000));
    return told_.empty() ? std::vector<std::string>{} : told_.front().files;
  }

  test::LoopDriver driver_;
  FileWatch watch_{driver_.loop, *this};
  std::string folder_;
  std::vector<ChangedFiles> told_;

 private:
  void on_files_changed(const ChangedFiles& changed) override { told_.push_back(changed); }
};

TEST_F(FileWatchTest, OnlyWhatHasChangedIsTold) {
  write("a", "1");
  write("b", "1");
  watch({path("a"), path("b")});
  write("b", "changed");
  EXPECT_THAT(wait_for_change(), UnorderedElementsAre(path("b")));
}

// The system names one of them; the other is a way to the same file.
TEST_F(FileWatchTest, AllNamesOfAFileWrittenInPlaceAreTold) {
  write("a", "1");
  std::filesystem::create_symlink("a", path("link"));
  std::filesystem::create_directory_symlink(folder_, path("folder"));
  watch({path("a"), path("link"), path("folder") + "/a"});
  write("a", "changed");
  EXPECT_THAT(wait_for_change(),
              UnorderedElementsAre(path("a"), path("link"), path("folder") + "/a"));
}

TEST_F(FileWatchTest, WhatALinkLeadsOverIsLookedAt) {
  std::filesystem::create_directory(path("one"));
  std::filesystem::create_directory(path("two"));
  write("one/a", "1");
  write("two/a", "22");
  std::filesystem::create_symlink("one", path("..data"));
  std::filesystem::create_symlink("..data/a", path("a"));
  watch({path("a")});
  std::filesystem::create_symlink("two", path("..new"));
  std::filesystem::rename(path("..new"), path("..data"));
  EXPECT_THAT(wait_for_change(), UnorderedElementsAre(path("a")));
}

}  // namespace
}  // namespace portunus::proxy
