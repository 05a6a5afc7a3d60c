// The levels of a shortage, in and out.
#include "proxy/pressure.h"

#include <gtest/gtest.h>

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kLimit = 1'000'000;

Pressure watching_memory() {
  Pressure pressure;
  pressure.configure({.memory = kLimit, .loop_delay = conf::Milliseconds(0)});
  return pressure;
}

Pressure watching_delay(int limit_ms) {
  Pressure pressure;
  pressure.configure({.memory = 0, .loop_delay = conf::Milliseconds(limit_ms)});
  return pressure;
}

TEST(Pressure, WhatIsNotAskedForIsNeverShort) {
  Pressure pressure;
  pressure.note_memory(~std::uint64_t{0} / 1000);
  pressure.note_delay(1'000'000);
  EXPECT_EQ(pressure.level(), 0);
}

TEST(Pressure, MemoryGoesInAndOutAtDifferentHeights) {
  struct Row {
    std::uint64_t bytes;
    PressureLevel level;
  };
  constexpr Row kRows[] = {
      {0, 0},       {849'999, 0},   {850'000, 1}, {750'000, 1}, {749'999, 0},
      {949'999, 1}, {950'000, 2},   {850'000, 2}, {849'999, 1}, {750'000, 1},
      {949'999, 1}, {5'000'000, 2}, {0, 0},       {950'000, 2}, {740'000, 0},
  };
  Pressure pressure = watching_memory();
  for (const Row& row : kRows) {
    pressure.note_memory(row.bytes);
    EXPECT_EQ(pressure.level(), row.level) << row.bytes;
    EXPECT_EQ(pressure.level(Shortage::memory), row.level);
  }
}

TEST(Pressure, OneLateTurnIsNoOverload) {
  Pressure pressure = watching_delay(100);
  pressure.note_delay(399);
  EXPECT_EQ(pressure.level(), 0) << "99.75 ms on average";
  for (int i = 0; i < 30; ++i)
    pressure.note_delay(0);
  pressure.note_delay(400);
  EXPECT_EQ(pressure.level(), 1);
}

TEST(Pressure, AThreadThatIsAlwaysLateIsOverloaded) {
  Pressure pressure = watching_delay(100);
  for (int i = 0; i < 30; ++i)
    pressure.note_delay(99);
  EXPECT_EQ(pressure.level(), 0);
  for (int i = 0; i < 30; ++i)
    pressure.note_delay(150);
  EXPECT_EQ(pressure.level(), 1);
  for (int i = 0; i < 30; ++i)
    pressure.note_delay(250);
  EXPECT_EQ(pressure.level(), 2);
  for (int i = 0; i < 30; ++i)
    pressure.note_delay(110);
  EXPECT_EQ(pressure.level(), 2) << "not yet under the limit";
  for (int i = 0; i < 30; ++i)
    pressure.note_delay(60);
  EXPECT_EQ(pressure.level(), 1);
  for (int i = 0; i < 30; ++i)
    pressure.note_delay(0);
  EXPECT_EQ(pressure.level(), 0);
}

TEST(Pressure, TheWorstCounts) {
  Pressure pressure;
  pressure.configure({.memory = kLimit, .loop_delay = conf::Milliseconds(10)});
  pressure.note_descriptors(true);
  EXPECT_EQ(pressure.level(), 1);
  EXPECT_EQ(pressure.cause(), Shortage::descriptors);
  pressure.note_memory(kLimit);
  EXPECT_EQ(pressure.level(), 2);
  EXPECT_EQ(pressure.cause(), Shortage::memory);
  pressure.note_memory(0);
  EXPECT_EQ(pressure.cause(), Shortage::descriptors);
  pressure.note_delay(10'000);
  EXPECT_EQ(pressure.cause(), Shortage::loop_delay);
  pressure.note_descriptors(false);
  EXPECT_EQ(pressure.level(), 2);
}

TEST(Pressure, ARuleThatIsTakenBackLetsGo) {
  Pressure pressure;
  pressure.configure({.memory = kLimit, .loop_delay = conf::Milliseconds(10)});
  pressure.note_memory(kLimit);
  pressure.note_delay(10'000);
  pressure.configure({});
  EXPECT_EQ(pressure.level(), 0);
  pressure.configure({.memory = 0, .loop_delay = conf::Milliseconds(10)});
  pressure.note_delay(20);
  EXPECT_EQ(pressure.level(), 0) << "what was late before is forgotten";
}

}  // namespace
}  // namespace portunus::proxy
