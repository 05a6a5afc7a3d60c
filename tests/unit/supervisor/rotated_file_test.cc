#include "supervisor/rotated_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "child_fixture.h"

namespace portunus::supervisor {
namespace {

using test::TestFolder;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(RotatedFileTest, GoesOnWithWhatIsThere) {
  const TestFolder folder;
  const std::string path = folder.path / "a.log";
  for (const char* const line : {"one\n", "two\n"}) {
    RotatedFile file(path, 1'000, 1);
    file.append(line, 0);
    file.flush(0);
  }
  EXPECT_EQ(read(path), "one\ntwo\n");
  struct stat about{};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0007U, 0U);  // nobody else reads it
}

TEST(RotatedFileTest, FullOnesAreSetAsideAndTheOldestGoes) {
  const TestFolder folder;
  const std::string path = folder.path / "a.log";
  RotatedFile file(path, 8, 2);
  for (char line = '1'; line <= '9'; ++line) {
    file.append(std::string{line, 'x', '\n'}, 0);
  }
  file.flush(0);
  EXPECT_EQ(read(path), "9x\n");
  EXPECT_EQ(read(path + ".1"), "7x\n8x\n");
  EXPECT_EQ(read(path + ".2"), "5x\n6x\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".3"));
  file.append("a line that is longer than a file may be\n", 0);
  file.append("next\n", 0);
  file.flush(0);
  EXPECT_EQ(read(path), "next\n");
  EXPECT_EQ(read(path + ".1"), "a line that is longer than a file may be\n");
  EXPECT_EQ(file.lost_lines(), 0U);
}

TEST(RotatedFileTest, FewerAreKeptAfterAChange) {
  const TestFolder folder;
  const std::string path = folder.path / "a.log";
  RotatedFile file(path, 2, 4);
  for (int i = 0; i < 9; ++i)
    file.append("x\n", 0);
  file.flush(0);
  EXPECT_TRUE(std::filesystem::exists(path + ".4"));
  file.set_limits(2, 1);
  file.append("y\n", 0);
  file.flush(0);
  EXPECT_TRUE(std::filesystem::exists(path + ".1"));
  EXPECT_FALSE(std::filesystem::exists(path + ".2"));
  EXPECT_FALSE(std::filesystem::exists(path + ".4"));
  file.set_limits(2, 0);
  file.append("z\n", 0);
  file.flush(0);
  EXPECT_EQ(read(path), "z\n");
}

TEST(RotatedFileTest, WithoutAFolderLinesAreLostUntilItIsThere) {
  const TestFolder folder;
  const std::string path = folder.path / "missing" / "a.log";
  RotatedFile file(path, 1'000, 1);
  file.append("lost\n", 5'000);
  file.flush(5'000);
  EXPECT_EQ(file.lost_lines(), 1U);
  EXPECT_EQ(file.problem(), "open " + path + ": No such file or directory");
  std::filesystem::create_directory(folder.path / "missing");
  file.append("lost, too: not tried again so soon\n", 5'999);
  EXPECT_EQ(file.lost_lines(), 2U);
  file.append("kept\n", 6'000);
  file.flush(6'000);
  EXPECT_EQ(read(path), "kept\n");
  EXPECT_EQ(file.problem(), "");
}

TEST(RotatedFileTest, PipeWithoutAReaderIsNoFile) {
  const TestFolder folder;
  const std::string path = folder.path / "a.log";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  RotatedFile file(path, 1'000, 1);
  file.append("lost\n", 0);
  EXPECT_EQ(file.lost_lines(), 1U);
}

// As on a full disk: part of a line is written, then nothing.
TEST(RotatedFileTest, TornLineIsTakenBackWhenThereIsNoSpace) {
  const TestFolder folder;
  const std::string path = folder.path / "a.log";
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 10;
  RotatedFile file(path, 1'000, 1);
  ::setrlimit(RLIMIT_FSIZE, &small);
  file.append("1234\n", 0);
  file.append("5678abcd\n", 0);
  file.append("third\n", 0);
  file.flush(0);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(read(path), "1234\n");
  EXPECT_EQ(file.lost_lines(), 2U);
  EXPECT_EQ(file.problem(), "write " + path + ": File too large");
  file.append("later\n", 1'000);
  file.flush(1'000);
  EXPECT_EQ(read(path), "1234\nlater\n");
}

}  // namespace
}  // namespace portunus::supervisor
