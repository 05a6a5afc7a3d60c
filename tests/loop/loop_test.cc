// net::Loop: the end of a turn, and tasks from other threads.
#include "net/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "tests/support/loop_driver.h"

namespace portunus::net {
namespace {

using test::LoopDriver;

// Each kind of work at the end of a turn, noting that it was its turn.
struct Work final : Deferred, Flushable, Mortal {
  Work(std::string& common_log, char own_name) : log(common_log), name(own_name) {}
  void on_turn_end() override { note("defer "); }
  void flush() override { note("flush "); }
  void bury() override { note("bury "); }
  void note(const char* what) {
    log += name;
    log += std::string("-") + what;
    if (then) std::exchange(then, nullptr)();
  }
  std::string& log;
  char name;
  std::function<void()> then;
};

// What was put off and the dead at the end of the turn, what was written at the end of the poll; whoever
// adds to it is served too.
TEST(Loop, EndsTurnsAndPollsInTheirOrder) {
  LoopDriver driver;
  Loop& loop = driver.loop;
  std::string log;
  Work a(log, 'a');
  Work b(log, 'b');
  Work late(log, 'c');
  driver.turn([&] {
    loop.bury(a);
    loop.bury(a);
    loop.flush_later(a);
    loop.flush_later(a);
    loop.defer(a);
    loop.defer(b);
    loop.defer(a);
    EXPECT_EQ(log, "");
  });
  EXPECT_EQ(log, "a-defer b-defer a-bury ");
  driver.step();
  EXPECT_EQ(log, "a-defer b-defer a-bury a-flush ");
  log.clear();
  a.then = [&] {
    loop.bury(late);
    loop.flush_later(late);
    loop.defer(late);
    late.then = [&] {
      loop.defer(b);
    };
  };
  driver.turn([&] { loop.flush_later(a); });
  driver.step();
  EXPECT_EQ(log, "a-flush c-defer b-defer c-flush c-bury ");
  log.clear();
  driver.turn([] {});
  driver.step();
  EXPECT_EQ(log, "");
}

TEST(Loop, WhatDiesBeforeTheEndOfTheTurnIsForgotten) {
  LoopDriver driver;
  std::string log;
  driver.turn([&] {
    Work gone(log, 'a');
    driver.loop.defer(gone);
    driver.loop.flush_later(gone);
  });
  driver.step();
  EXPECT_EQ(log, "");
}

TEST(Loop, TheClockStandsStillWithinATurn) {
  LoopDriver driver;
  driver.turn([&] {
    const std::uint64_t now_ns = driver.loop.now_ns();
    EXPECT_LE(now_ns, base::monotonic_ns());
    while (base::monotonic_ns() < now_ns + 2'000'000) {
    }
    EXPECT_EQ(driver.loop.now_ns(), now_ns);
    EXPECT_EQ(driver.loop.now_ms(), now_ns / 1'000'000);
  });
}

TEST(Loop, DeadlinesFireWithinASlot) {
  LoopDriver driver;
  std::uint64_t fired_ns = 0;
  struct Alarm {
    std::uint64_t* fired_ns;
    Loop* loop;
    Deadline deadline{this, [](void* self) {
                        auto* alarm = static_cast<Alarm*>(self);
                        *alarm->fired_ns = alarm->loop->now_ns();
                      }};
  } alarm{&fired_ns, &driver.loop};
  std::uint64_t armed_ns = 0;
  driver.turn([&] {
    armed_ns = driver.loop.now_ns();
    driver.loop.timers().arm(alarm.deadline, 50);
  });
  ASSERT_TRUE(driver.run_until([&] { return fired_ns != 0; }));
  EXPECT_GE(fired_ns / 1'000'000, armed_ns / 1'000'000 + 50);
}

// Each thread's tasks in its order, all of them, on the loop's thread; none after stop(), and none kept.
TEST(Loop, RunsWhatOtherThreadsPost) {
  constexpr int kThreads = 3;
  constexpr int kTasks = 2'000;
  Loop loop;
  std::vector<int> seen(kThreads, 0);
  int out_of_order = 0;
  int done = 0;
  const auto own_thread = std::this_thread::get_id();
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kTasks; ++i) {
        const bool is_taken = loop.post([&, thread, i] {
          if (seen[static_cast<std::size_t>(thread)]++ != i ||
              std::this_thread::get_id() != own_thread)
            ++out_of_order;
          if (++done == kThreads * kTasks) loop.stop();
        });
        if (!is_taken) ++refused;
      }
    });
  }
  loop.run();
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(done, kThreads * kTasks);
  EXPECT_EQ(out_of_order, 0);
  EXPECT_EQ(refused.load(), 0);
  const auto token = std::make_shared<int>(0);
  EXPECT_FALSE(loop.post([token] { FAIL(); }));
  EXPECT_EQ(token.use_count(), 1);
}

TEST(Loop, ATaskMayPostAndEndsATurnOfItsOwn) {
  LoopDriver driver;
  std::string log;
  Work work(log, 'w');
  bool is_done = false;
  driver.loop.post([&] {
    driver.loop.defer(work);
    driver.loop.post([&] {
      log += "second ";
      is_done = true;
    });
    log += "first ";
  });
  EXPECT_EQ(log, "");
  ASSERT_TRUE(driver.run_until([&] { return is_done; }));
  EXPECT_EQ(log, "first w-defer second ");
}

// What was posted and never run is let go with the loop.
TEST(Loop, LetsGoOfTasksThatNeverRan) {
  const auto token = std::make_shared<int>(0);
  {
    Loop loop;
    EXPECT_TRUE(loop.post([token] { FAIL(); }));
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
}

// Nobody polls any more, and what is written still leaves.
TEST(Loop, FlushesWhenItHasBeenStopped) {
  Loop loop;
  std::string log;
  Work before(log, 'a');
  Work after(log, 'b');
  loop.post([&] {
    loop.flush_later(before);
    loop.stop();
    loop.flush_later(after);
  });
  loop.run();
  EXPECT_EQ(log, "a-flush b-flush ");
}

TEST(Loop, StopsWhenAskedTwice) {
  Loop loop;
  loop.post([&] {
    loop.stop();
    loop.stop();
  });
  loop.run();
  EXPECT_FALSE(loop.post([] {}));
}

}  // namespace
}  // namespace portunus::net
