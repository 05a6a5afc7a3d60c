#include "supervisor/output_capture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "base/clock.h"
#include "child_fixture.h"

namespace portunus::supervisor {
namespace {

using test::shell;
using test::TestFolder;
using testing::ElementsAre;
using testing::EndsWith;
using testing::MatchesRegex;

class OutputCaptureTest : public testing::Test, public LineHandler {
 protected:
  void SetUp() override {
    uv_loop_init(&loop_);
    settings_.service = "web";
    settings_.replica = 2;
    settings_.folder = folder_.path;
    path_ = folder_.path / "web-2.log";
  }
  void TearDown() override {
    if (pid_ > 0) finish();
    capture_.reset();
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&loop_), 0);
  }
  void on_line(const std::string& service, std::uint32_t replica, std::string_view line) override {
    EXPECT_EQ(service, "web");
    EXPECT_EQ(replica, 2U);
    lines_.emplace_back(line);
  }

  void start(const std::string& script) {
    if (!capture_) capture_.emplace(loop_, settings_, *this);
    const auto output = capture_->open();
    ASSERT_TRUE(output) << output.error();
    Launch launch = shell(script);
    launch.output = *output;
    const auto pid = spawn(launch);
    ::close(*output);
    ASSERT_TRUE(pid) << pid.error();
    pid_ = *pid;
  }
  template <typename Done>
  bool turn_until(Done done, std::uint64_t limit_ms = 20'000) {
    const std::uint64_t end_ns = base::monotonic_ns() + limit_ms * 1'000'000;
    while (!done()) {
      if (base::monotonic_ns() > end_ns) return false;
      pollfd wanted{uv_backend_fd(&loop_), POLLIN, 0};
      const std::uint64_t before_ns = base::monotonic_ns();
      uv_run(&loop_, UV_RUN_NOWAIT);
      longest_turn_ns_ = std::max(longest_turn_ns_, base::monotonic_ns() - before_ns);
      const int timer_ms = uv_backend_timeout(&loop_);
      ::poll(&wanted, 1, timer_ms < 0 ? 20 : std::min(timer_ms, 20));
    }
    return true;
  }
  // Until the pipe is at its end.
  void read_to_end() {
    ASSERT_TRUE(turn_until([this] { return !capture_->is_open(); }));
    finish();
  }
  void finish() {
    signal_group(pid_, SIGKILL);
    ended_ = test::wait_for(pid_);
    pid_ = 0;
    capture_->finish();
  }
  [[nodiscard]] static std::vector<std::string> file_lines(const std::string& path) {
    std::vector<std::string> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);)
      lines.push_back(line);
    return lines;
  }

  uv_loop_t loop_{};
  TestFolder folder_;
  std::string path_;
  CaptureSettings settings_;
  std::optional<OutputCapture> capture_;
  std::vector<std::string> lines_;
  std::uint64_t longest_turn_ns_ = 0;
  test::Ended ended_;
  pid_t pid_ = 0;
};

TEST_F(OutputCaptureTest, LinesOfBothOutputsGoToHandlerAndFile) {
  start("echo one; echo two >&2; echo; printf 'dos\\r\\n'");
  read_to_end();
  EXPECT_THAT(lines_, ElementsAre("one", "two", "", "dos"));
  const std::vector<std::string> written = file_lines(path_);
  ASSERT_EQ(written.size(), 4U);
  EXPECT_THAT(
      written[0],
      MatchesRegex("20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z one"));
  EXPECT_THAT(written[3], EndsWith("Z dos"));
  EXPECT_EQ(capture_->lines(), 4U);
  EXPECT_EQ(capture_->lost_lines(), 0U);
}

TEST_F(OutputCaptureTest, LineComesWhenItIsWrittenAndNotAtTheEnd) {
  start("echo now; exec sleep 300");
  EXPECT_TRUE(turn_until([this] { return lines_.size() == 1; }));
  EXPECT_EQ(file_lines(path_).size(), 1U);
}

TEST_F(OutputCaptureTest, LineInPiecesIsOneLine) {
  start("printf 'be'; sleep 0.05; printf 'gin'; sleep 0.05; printf 'ning\\nnext\\n'");
  read_to_end();
  EXPECT_THAT(lines_, ElementsAre("beginning", "next"));
}

TEST_F(OutputCaptureTest, LastLineNeedsNoNewline) {
  start("printf 'first\\nlast words'");
  read_to_end();
  EXPECT_THAT(lines_, ElementsAre("first", "last words"));
}

TEST_F(OutputCaptureTest, SecondProcessGoesOnInTheSameFile) {
  start("printf 'first'");
  read_to_end();
  start("echo second");
  read_to_end();
  EXPECT_THAT(lines_, ElementsAre("first", "second"));
  EXPECT_EQ(file_lines(path_).size(), 2U);
}

TEST_F(OutputCaptureTest, LongLineIsSplitAndMarked) {
  // 3 bytes each, so that the bound is within one of them.
  std::string text;
  for (int i = 0; i < 7'000; ++i)
    text += "€";
  std::ofstream(folder_.path / "long") << text << "\nshort\n";
  start("cat " + (folder_.path / "long").string());
  read_to_end();
  ASSERT_EQ(lines_.size(), 4U);
  std::string joined;
  for (const std::size_t i : {0U, 1U}) {
    ASSERT_THAT(lines_[i], EndsWith(kSplitMark));
    const std::string piece = lines_[i].substr(0, lines_[i].size() - kSplitMark.size());
    EXPECT_LE(piece.size(), kLineBytesMax);
    EXPECT_EQ(piece.size() % 3, 0U);
    joined += piece;
  }
  EXPECT_EQ(joined + lines_[2], text);
  EXPECT_EQ(lines_[3], "short");
}

TEST_F(OutputCaptureTest, LineOfExactlyTheMostIsNotSplit) {
  start("head -c 8192 /dev/zero | tr '\\0' x; echo; head -c 8193 /dev/zero | tr '\\0' y; echo");
  read_to_end();
  ASSERT_EQ(lines_.size(), 3U);
  EXPECT_EQ(lines_[0], std::string(8192, 'x'));
  EXPECT_EQ(lines_[1], std::string(8192, 'y') + std::string(kSplitMark));
  EXPECT_EQ(lines_[2], "y");
}

TEST_F(OutputCaptureTest, BinaryGarbageIsKeptAsItIs) {
  std::string garbage;
  for (int i = 0; i < 60'000; ++i)
    garbage += static_cast<char>(i * 7919 % 256);
  std::erase(garbage, '\r');
  std::ofstream(folder_.path / "garbage") << garbage;
  start("cat " + (folder_.path / "garbage").string());
  read_to_end();
  std::string joined;
  for (std::size_t i = 0; i < lines_.size(); ++i)
    joined += (i == 0 ? "" : "\n") + lines_[i];
  EXPECT_EQ(joined, garbage.ends_with('\n') ? garbage.substr(0, garbage.size() - 1) : garbage);
}

TEST_F(OutputCaptureTest, FloodIsDroppedAndCountedAndNobodyStarves) {
  constexpr std::size_t kLines = 500'000;  // of a hundred bytes: 50 MB
  const std::uint64_t begin_ns = base::monotonic_ns();
  start("yes " + std::string(99, 'f') + " | head -n " + std::to_string(kLines) + "; echo end");
  ASSERT_TRUE(turn_until([this] { return !capture_->is_open(); }, 60'000));
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  finish();
  EXPECT_EQ(ended_.status, 0);
  const auto reports = static_cast<std::size_t>(std::ranges::count_if(
      lines_, [](const std::string& line) { return line.starts_with("[portunus] "); }));
  EXPECT_GE(reports, 1U);
  const std::uint64_t seconds = 1 + (base::monotonic_ns() - begin_ns) / 1'000'000'000;
  EXPECT_LE(reports, 3 * seconds);
  EXPECT_GT(capture_->dropped_lines(), 0U);
  EXPECT_EQ(capture_->lines() - reports + capture_->dropped_lines(), kLines + 1);
  EXPECT_EQ(capture_->lines(), lines_.size());
  std::size_t said = 0;
  for (const std::string& line : lines_) {
    if (line.starts_with("[portunus] ")) said += std::stoul(line.substr(11));
  }
  EXPECT_EQ(said, capture_->dropped_lines());
  // What is kept is what the budget allows.
  EXPECT_LE(capture_->lines() * (99 + kLineCost), (seconds + 5) * kCaptureBytesPerSecond);
  EXPECT_LT(longest_turn_ns_, 1'000'000'000U);
}

TEST_F(OutputCaptureTest, DroppedLinesAreToldThoughNoLineFollows) {
  settings_.bytes_per_second = 1'000;
  start("yes | head -n 200; exec sleep 300");
  EXPECT_TRUE(
      turn_until([this] { return !lines_.empty() && lines_.back().starts_with("[portunus] "); }));
  EXPECT_EQ(capture_->lines() - 1 + capture_->dropped_lines(), 200U);
}

// The end of the pipe does not come, and is not waited for.
TEST_F(OutputCaptureTest, OrphanThatKeepsThePipeDoesNotHoldUs) {
  start("sleep 300 & echo last");
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  capture_->finish();
  EXPECT_FALSE(capture_->is_open());
  EXPECT_THAT(lines_, ElementsAre("last"));
}

TEST_F(OutputCaptureTest, FileIsRotated) {
  settings_.max_bytes = 1'000;
  settings_.keep = 2;
  start("i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done");
  read_to_end();
  EXPECT_EQ(lines_.size(), 200U);
  EXPECT_THAT(file_lines(path_).back(), EndsWith("Z line 199"));
  for (const char* const suffix : {"", ".1", ".2"}) {
    EXPECT_LE(std::filesystem::file_size(path_ + suffix), 1'000U);
  }
  EXPECT_FALSE(std::filesystem::exists(path_ + ".3"));
}

TEST_F(OutputCaptureTest, WithoutAFolderTheHandlerGetsTheLinesAllTheSame) {
  settings_.folder = folder_.path / "missing";
  start("echo one; echo two");
  read_to_end();
  EXPECT_THAT(lines_, ElementsAre("one", "two"));
  EXPECT_EQ(capture_->lost_lines(), 2U);
  EXPECT_THAT(capture_->file_problem(), EndsWith("web-2.log: No such file or directory"));
}

TEST_F(OutputCaptureTest, ManyProcessesLeakNoDescriptor) {
  start("echo 0");
  read_to_end();
  const std::size_t before = test::open_descriptors();
  for (int i = 1; i < 50; ++i) {
    start("echo " + std::to_string(i));
    read_to_end();
  }
  EXPECT_EQ(lines_.size(), 50U);
  EXPECT_EQ(test::open_descriptors(), before);
}

}  // namespace
}  // namespace portunus::supervisor
