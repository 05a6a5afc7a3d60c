#include "base/slab.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/pinned.h"

namespace portunus::base {
namespace {

struct Thing {
  explicit Thing(int& alive) : alive_(alive) { ++alive_; }
  ~Thing() { --alive_; }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;
  int& alive_;
  alignas(64) char bytes[64] = {};
};

TEST(Slab, MakesDestroysAndReuses) {
  Slab<Thing, 4> slab;
  int alive = 0;
  std::vector<Thing*> things;
  std::set<Thing*> places;
  for (int i = 0; i < 9; ++i) {
    things.push_back(slab.make(alive));
    places.insert(things.back());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(things.back()) % 64, 0U);
  }
  EXPECT_EQ(places.size(), 9U);
  EXPECT_EQ(alive, 9);
  EXPECT_EQ(slab.live(), 9U);
  EXPECT_EQ(slab.capacity(), 12U);
  for (Thing* thing : things)
    slab.destroy(thing);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(slab.live(), 0U);
  Thing* again = slab.make(alive);
  EXPECT_EQ(again, things.back());  // the last one given back is still in the cache
  EXPECT_EQ(slab.capacity(), 12U);
  slab.destroy(again);
}

TEST(SlabDeathTest, WhatIsNotBackIsABug) {
  EXPECT_DEATH(
      {
        int alive = 0;
        Slab<Thing> slab;
        static_cast<void>(slab.make(alive));
      },
      "live_ == 0");
}

struct Counted {
  int count = 0;
  void pin() { ++count; }
  void unpin() { --count; }
};

TEST(Pinned, CountsItsHolders) {
  Counted object;
  Counted other;
  {
    Pinned<Counted> a(&object);
    Pinned<Counted> b(std::move(a));
    EXPECT_EQ(object.count, 1);
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): empty, on purpose
    EXPECT_EQ(b.get(), &object);
    Pinned<Counted> c(&other);
    c = std::move(b);
    EXPECT_EQ(other.count, 0);
    EXPECT_EQ(object.count, 1);
    c.reset();
    EXPECT_EQ(object.count, 0);
    c.reset();
    const Pinned<Counted> none(nullptr);
    EXPECT_FALSE(none);
    c = Pinned<Counted>(&object);
  }
  EXPECT_EQ(object.count, 0);
}

}  // namespace
}  // namespace portunus::base
