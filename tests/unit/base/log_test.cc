#include "base/log.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/output_file.h"

namespace portunus::base {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/portunus_log_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    stop_log();
    set_log_level(LogLevel::info);
    std::filesystem::remove_all(folder_);
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  static std::string content(const std::string& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }
  static std::vector<std::string> lines(const std::string& file) {
    std::vector<std::string> result;
    std::istringstream text(content(file));
    for (std::string line; std::getline(text, line);)
      result.push_back(line);
    return result;
  }
  static void start(const LogSettings& settings) {
    std::string reason;
    ASSERT_TRUE(start_log(settings, reason)) << reason;
  }

  std::string folder_;
};

TEST_F(LogTest, WritesTextLinesInOrder) {
  start({LogLevel::info, false, path("log")});
  log(LogLevel::info, "config", "generation {} is in use", 7);
  log(LogLevel::warn, "health", "{} is down", "10.0.0.1:80");
  log(LogLevel::debug, "health", "not this one");
  stop_log();
  const auto written = lines(path("log"));
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[0].substr(24), " info    config: generation 7 is in use");
  EXPECT_EQ(written[1].substr(24), " warning health: 10.0.0.1:80 is down");
  EXPECT_EQ(written[0][10], 'T');
  EXPECT_EQ(written[0][23], 'Z');
}

TEST_F(LogTest, EscapesWhatCouldForgeALineOrDriveATerminal) {
  start({LogLevel::info, false, path("log")});
  log_line(LogLevel::info, "proxy", std::string_view("a\nb\r\x1b[31m\xc2\x9b\xff\0c", 14));
  stop_log();
  const auto written = lines(path("log"));
  ASSERT_EQ(written.size(), 1U);
  EXPECT_EQ(written[0].substr(24), R"( info    proxy: a\x0ab\x0d\x1b[31m\xc2\x9b\xff\x00c)");
}

TEST_F(LogTest, WritesJson) {
  start({LogLevel::info, true, path("log")});
  log(LogLevel::error, "admin", "say \"{}\"\n", "hi");
  stop_log();
  const auto written = lines(path("log"));
  ASSERT_EQ(written.size(), 1U);
  EXPECT_TRUE(written[0].starts_with(R"({"time":"20)")) << written[0];
  EXPECT_TRUE(written[0].ends_with(
      R"(","level":"error","component":"admin","message":"say \"hi\"\u000a"})"))
      << written[0];
}

TEST_F(LogTest, LinesOfServicesNameTheirReplica) {
  start({LogLevel::info, false, path("text")});
  log_service_line(LogLevel::info, "web", 12, std::string_view("a\0b\n", 4));
  log_service_line(LogLevel::debug, "web", 12, "not this one");
  stop_log();
  ASSERT_EQ(lines(path("text")).size(), 1U);
  EXPECT_EQ(lines(path("text"))[0].substr(24), R"( info    service: web/12: a\x00b\x0a)");
  start({LogLevel::info, true, path("json")});
  log_service_line(LogLevel::info, "web", 0, "say \"hi\"");
  stop_log();
  ASSERT_EQ(lines(path("json")).size(), 1U);
  EXPECT_TRUE(lines(path("json"))[0].ends_with(
      R"("component":"service","service":"web","replica":0,"message":"say \"hi\""})"))
      << lines(path("json"))[0];
}

TEST_F(LogTest, ChangesOutputLevelAndFormatWhileRunning) {
  start({LogLevel::info, false, path("one")});
  log(LogLevel::info, "config", "first");
  start({LogLevel::debug, true, path("two")});
  log(LogLevel::debug, "config", "second");
  stop_log();
  EXPECT_NE(content(path("two")).find("\"message\":\"second\""), std::string::npos);
  EXPECT_EQ(content(path("one")).find("second"), std::string::npos);
}

TEST_F(LogTest, ReopensAfterARotation) {
  start({LogLevel::info, false, path("log")});
  log(LogLevel::info, "config", "before");
  stop_log();
  start({LogLevel::info, false, path("log")});
  std::filesystem::rename(path("log"), path("log.1"));
  reopen_log();
  log(LogLevel::info, "config", "after");
  stop_log();
  EXPECT_NE(content(path("log.1")).find("before"), std::string::npos);
  EXPECT_NE(content(path("log")).find("after"), std::string::npos);
}

TEST_F(LogTest, SaysWhyAFileCannotBeOpened) {
  std::string reason;
  EXPECT_FALSE(start_log({LogLevel::info, false, path("no/such/folder")}, reason));
  EXPECT_EQ(reason, "cannot open " + path("no/such/folder") + ": No such file or directory");
}

TEST_F(LogTest, CountsWhatAFullDiskRefuses) {
  start({LogLevel::info, false, "/dev/full"});
  const std::uint64_t before = log_dropped();
  for (int i = 0; i < 100; ++i)
    log(LogLevel::info, "config", "line {}", i);
  stop_log();
  EXPECT_EQ(log_dropped() - before, 100U);
}

// A reader that stands still: lines beyond pipe and queue are dropped, and nobody waits for it.
TEST_F(LogTest, DropsAndCountsWhenTheOutputStandsStill) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  const int reader = open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  start({LogLevel::info, false, path("fifo")});
  const std::uint64_t before = log_dropped();
  const std::string text(200, 'x');
  const std::uint64_t began = monotonic_ns();
  constexpr int kLines = 30'000;
  for (int i = 0; i < kLines; ++i)
    log_line(LogLevel::info, "proxy", text);
  EXPECT_LT(monotonic_ns() - began, 5'000'000'000U);
  EXPECT_GT(log_dropped() - before, 10'000U);
  const std::uint64_t stop_began = monotonic_ns();
  stop_log();
  EXPECT_LT(monotonic_ns() - stop_began, 10'000'000'000U);
  close(reader);
}

TEST_F(LogTest, TakesLinesFromManyThreads) {
  start({LogLevel::info, false, path("log")});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i)
        log(LogLevel::info, "proxy", "thread {} line {}", t, i);
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  stop_log();
  EXPECT_EQ(lines(path("log")).size(), 2000U);
}

TEST_F(LogTest, AClosedPipeIsAnErrorAndNoSignal) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  const int reader = open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  start({LogLevel::info, false, path("fifo")});
  close(reader);
  const std::uint64_t before = log_dropped();
  log(LogLevel::info, "proxy", "nobody listens");
  stop_log();
  EXPECT_EQ(log_dropped() - before, 1U);
}

TEST_F(LogTest, AFifoWithoutAReaderIsAnErrorAtOnce) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  std::string reason;
  EXPECT_FALSE(start_log({LogLevel::info, false, path("fifo")}, reason));
}

// The rest of a line that was cut by the error must not be glued to the next one.
TEST_F(LogTest, StartsOnANewLineAfterATornOne) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  const int reader = open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  ASSERT_GT(fcntl(reader, F_SETPIPE_SZ, 8192), 0);
  OutputFile output;
  std::string reason;
  ASSERT_TRUE(output.open(path("fifo"), reason)) << reason;
  output.give_up_at(1);
  EXPECT_LT(output.write(std::string(10000, 'x') + "\n"), 10001U);
  std::vector<char> bytes(65536);
  ASSERT_EQ(read(reader, bytes.data(), bytes.size()), 8192);
  EXPECT_EQ(output.write("next\n"), 5U);
  ASSERT_EQ(read(reader, bytes.data(), bytes.size()), 6);
  EXPECT_EQ(std::string(bytes.data(), 6), "\nnext\n");
  close(reader);
}

}  // namespace
}  // namespace portunus::base
