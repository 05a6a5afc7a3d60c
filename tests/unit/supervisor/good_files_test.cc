// What the next proxy is started on, with a clock of the test's.
#include "supervisor/good_files.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace portunus::supervisor {
namespace {

using Source = GoodFiles::Source;

constexpr std::uint64_t kShortNs = 1'000'000'000;
constexpr std::uint64_t kLongNs = GoodFiles::kProvenNs + kShortNs;

class GoodFilesTest : public testing::Test {
 protected:
  // A proxy that runs on `hash`, which it has read from the files.
  void run_on(const std::string& hash, bool is_of_files = true, std::uint64_t plan = 1) {
    const std::array<conf::SealedFiles::Part, 1> parts{{{"file", hash}}};
    good_.take({conf::SealedFiles::make(parts), hash, plan}, is_of_files, now_ns_);
  }
  void start() { started_ns_ = now_ns_; }
  Source crash(bool was_ready = true, std::uint64_t plan = 1) {
    now_ns_ += kShortNs;
    const Source next = good_.on_crash({was_ready, started_ns_, started_ns_ / 1000}, plan, now_ns_);
    start();
    return next;
  }
  // A proxy on the files that gets ready, hands over, and crashes.
  Source crash_on(const std::string& hash, std::uint64_t plan = 1) {
    run_on(hash, true, plan);
    return crash(true, plan);
  }
  [[nodiscard]] std::string text() const {
    const auto read = good_.good().files.read();
    return read && !read->empty() ? read->front().text : "";
  }

  std::uint64_t now_ns_ = 1'000'000'000'000;
  std::uint64_t started_ns_ = now_ns_;
  GoodFiles good_;
};

TEST_F(GoodFilesTest, TheFilesComeFirst) {
  EXPECT_EQ(good_.descriptor(), -1);
  EXPECT_EQ(crash(false), Source::files) << "there is no copy yet";
  EXPECT_EQ(crash_on("a"), Source::files);
  EXPECT_EQ(good_.descriptor(), -1);
}

TEST_F(GoodFilesTest, WhatIsNotReadyOnTheFilesIsFollowedByTheCopy) {
  run_on("a");
  now_ns_ += kLongNs;
  EXPECT_EQ(crash(), Source::files);
  EXPECT_EQ(crash(false), Source::last_good);
  EXPECT_GE(good_.descriptor(), 0);
  run_on("a", false);
  EXPECT_EQ(good_.source(), Source::last_good);
  EXPECT_EQ(crash(), Source::files) << "they may be right by now";
}

TEST_F(GoodFilesTest, OneThatCrashesOnceReadySettlesOnTheOneBefore) {
  run_on("a");
  now_ns_ += kLongNs;
  run_on("poison");
  for (std::uint32_t i = 1; i < GoodFiles::kCrashesMax; ++i)
    EXPECT_EQ(crash_on("poison"), Source::files);
  const std::uint64_t last_start_us = started_ns_ / 1000;
  EXPECT_EQ(crash_on("poison"), Source::settled);
  EXPECT_EQ(text(), "a");
  EXPECT_EQ(good_.tried_us(), last_start_us);
  run_on("a", false);
  EXPECT_EQ(crash(), Source::settled) << "another reason; the files are what they were";
  // A reload, and what is read then is tried anew.
  run_on("a", false);
  run_on("poison");
  EXPECT_EQ(good_.source(), Source::files);
  EXPECT_EQ(crash(), Source::settled) << "still in a row";
  EXPECT_EQ(text(), "a");
}

TEST_F(GoodFilesTest, WhatHasNotRunForLongIsNothingToSettleOn) {
  run_on("a");
  now_ns_ += kShortNs;
  run_on("poison");
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(crash_on("poison"), Source::files);
}

TEST_F(GoodFilesTest, NorWhatHasOtherListenersOrServices) {
  run_on("a", true, 1);
  now_ns_ += kLongNs;
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(crash_on("poison", 2), Source::files);
}

TEST_F(GoodFilesTest, OneThatCrashesBeforeAndAfterTheCopyTakesItOverSettles) {
  run_on("a");
  now_ns_ += kLongNs;
  EXPECT_EQ(crash(), Source::files);
  EXPECT_EQ(crash(false), Source::last_good);
  run_on("a", false);  // and crashes while it reads the files
  EXPECT_EQ(crash(), Source::files);
  EXPECT_EQ(crash(false), Source::last_good);
  run_on("a", false);
  EXPECT_EQ(crash(), Source::settled);
  EXPECT_EQ(text(), "a");
}

TEST_F(GoodFilesTest, AlsoWhenTheCopyHasTakenItOverEachTime) {
  run_on("a");
  now_ns_ += kLongNs;
  EXPECT_EQ(crash(), Source::files);
  EXPECT_EQ(crash(false), Source::last_good);
  run_on("a", false);
  run_on("poison");
  EXPECT_EQ(crash(), Source::files);
  EXPECT_EQ(crash(false), Source::last_good);
  run_on("poison", false);
  run_on("poison");
  EXPECT_EQ(crash(), Source::settled);
  EXPECT_EQ(text(), "a");
}

TEST_F(GoodFilesTest, CrashesFarApartAreNoLoop) {
  run_on("a");
  now_ns_ += kLongNs;
  for (int i = 0; i < 20; ++i) {
    run_on("b");
    now_ns_ += kLongNs;
    EXPECT_EQ(crash(), Source::files);
  }
}

TEST_F(GoodFilesTest, ACopyThatCannotBeStartedOnIsLeft) {
  run_on("a");
  now_ns_ += kLongNs;
  for (std::uint32_t i = 0; i < GoodFiles::kCrashesMax; ++i)
    crash_on("poison");
  ASSERT_EQ(good_.source(), Source::settled);
  EXPECT_EQ(crash(false), Source::files);
}

TEST_F(GoodFilesTest, AnUpgradeTriesTheFilesAgain) {
  run_on("a");
  now_ns_ += kLongNs;
  for (std::uint32_t i = 0; i < GoodFiles::kCrashesMax; ++i)
    crash_on("poison");
  good_.start_anew();
  EXPECT_EQ(good_.source(), Source::files);
  EXPECT_EQ(crash_on("poison"), Source::files);
  EXPECT_EQ(good_.proven().hash, "a");
}

}  // namespace
}  // namespace portunus::supervisor
