#include "supervisor/whole_cpus.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace portunus::supervisor {
namespace {

TEST(WholeCpusTest, AShareIsRoundedUp) {
  EXPECT_EQ(whole_cpus(1, 4), 1U);
  EXPECT_EQ(whole_cpus(100, 4), 1U);
  EXPECT_EQ(whole_cpus(101, 4), 2U);
  EXPECT_EQ(whole_cpus(300, 4), 3U);
}

TEST(WholeCpusTest, WhatComesToAllOfThemIsNoBound) {
  EXPECT_EQ(whole_cpus(301, 4), 0U);
  EXPECT_EQ(whole_cpus(10'000, 4), 0U);
  EXPECT_EQ(whole_cpus(50, 1), 0U);
  EXPECT_EQ(whole_cpus(50, 0), 0U) << "it cannot be told how many there are";
  EXPECT_EQ(whole_cpus(0, 4), 0U) << "no limit";
}

TEST(CpuHoldersTest, OneAfterTheOtherGetsAnotherOne) {
  CpuHolders holders;
  const Cpus all{0, 1, 2, 3};
  EXPECT_EQ(holders.take(1, all), (Cpus{0}));
  EXPECT_EQ(holders.take(1, all), (Cpus{1}));
  EXPECT_EQ(holders.take(2, all), (Cpus{2, 3}));
  EXPECT_EQ(holders.take(3, all), (Cpus{0, 1, 2}));
  EXPECT_EQ(holders.take(2, all), (Cpus{0, 3}));
}

TEST(CpuHoldersTest, OnlyThoseThatWeMayUseAreTaken) {
  CpuHolders holders;
  const Cpus some{3, 70, 1000};
  EXPECT_EQ(holders.take(2, some), (Cpus{3, 70}));
  EXPECT_EQ(holders.take(2, some), (Cpus{3, 1000}));
  EXPECT_EQ(holders.take(1, {}), (Cpus{}));
}

// However often it starts again, nobody else is crowded.
TEST(CpuHoldersTest, WhatHasBeenGivenBackIsTakenFirst) {
  CpuHolders holders;
  const Cpus all{0, 1, 2};
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(holders.take(1, all), Cpus{all[i]});
  for (int i = 0; i < 5; ++i) {
    holders.give_back({1});
    EXPECT_EQ(holders.take(1, all), (Cpus{1}));
  }
}

TEST(CpuHoldersTest, WhatAFormerSupervisorHasGivenCounts) {
  CpuHolders holders;
  holders.hold({0, 1, 2});
  EXPECT_EQ(holders.take(1, {0, 1, 2, 3}), (Cpus{3}));
}

TEST(CpusOfTest, OfUsOfAnotherAndOfNobody) {
  const Cpus ours = cpus_of(0);
  ASSERT_FALSE(ours.empty());
  EXPECT_EQ(cpus_of(::getpid()), ours);
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(gone, nullptr, 0), gone);
  EXPECT_EQ(cpus_of(gone), Cpus{});
}

}  // namespace
}  // namespace portunus::supervisor
