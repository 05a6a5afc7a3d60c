#include "supervisor/reaper.h"

#include <gtest/gtest.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <utility>

#include "child_fixture.h"

namespace portunus::supervisor {
namespace {

using test::shell;

// SIGCHLD from a descriptor, as the supervisor reads it.
class ReaperTest : public testing::Test, public ChildHandler {
 public:
  void SetUp() override {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &child, &before_);
    signals_ = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  void TearDown() override {
    ::close(signals_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  void on_exit(pid_t pid, Exit exit) override {
    exits.emplace_back(pid, exit);
    if (next != nullptr) next(*this, pid);
  }
  pid_t start(const std::string& script) {
    const auto pid = spawn(shell(script));
    EXPECT_TRUE(pid) << pid.error();
    return pid.value_or(-1);
  }
  template <typename Done>
  bool reap_until(Done done) {
    while (!done()) {
      pollfd wanted{signals_, POLLIN, 0};
      if (::poll(&wanted, 1, 10'000) <= 0) return false;
      signalfd_siginfo info{};
      static_cast<void>(!::read(signals_, &info, sizeof info));
      reaper.reap();
    }
    return true;
  }

  Reaper reaper;
  std::vector<std::pair<pid_t, Exit>> exits;
  void (*next)(ReaperTest&, pid_t) = nullptr;

 private:
  sigset_t before_{};
  int signals_ = -1;
};

TEST_F(ReaperTest, StatusAndSignalAreToldOnce) {
  const pid_t first = start("exit 3");
  reaper.watch(first, *this);
  ASSERT_TRUE(reap_until([this] { return exits.size() == 1; }));
  EXPECT_EQ(exits[0].first, first);
  EXPECT_EQ(exits[0].second.status, 3);
  EXPECT_EQ(exits[0].second.signal, 0);
  EXPECT_FALSE(exits[0].second.is_clean());
  EXPECT_FALSE(reaper.is_watched(first));

  const pid_t second = start("kill -TERM $$");
  reaper.watch(second, *this);
  ASSERT_TRUE(reap_until([this] { return exits.size() == 2; }));
  EXPECT_EQ(exits[1].second.status, -1);
  EXPECT_EQ(exits[1].second.signal, SIGTERM);
  EXPECT_FALSE(exits[1].second.is_clean());

  const pid_t third = start("exit 0");
  reaper.watch(third, *this);
  ASSERT_TRUE(reap_until([this] { return exits.size() == 3; }));
  EXPECT_TRUE(exits[2].second.is_clean());
  EXPECT_EQ(reaper.strangers(), 0U);
}

// Many exits make one SIGCHLD.
TEST_F(ReaperTest, OneCallTakesAllThatHaveEnded) {
  std::vector<pid_t> started;
  for (int i = 0; i < 20; ++i) {
    started.push_back(start("exit " + std::to_string(i)));
    reaper.watch(started.back(), *this);
  }
  for (const pid_t pid : started) {
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  }
  reaper.reap();
  ASSERT_EQ(exits.size(), started.size());
  for (const auto& [pid, exit] : exits) {
    EXPECT_EQ(exit.status, std::ranges::find(started, pid) - started.begin());
  }
}

TEST_F(ReaperTest, ForgottenOnesAndOrphansAreReapedAndCounted) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t forgotten = start("exit 0");
  reaper.watch(forgotten, *this);
  reaper.forget(forgotten);
  ASSERT_TRUE(reap_until([this] { return reaper.strangers() == 1; }));
  // Its parent ends first, and then it is ours.
  const pid_t parent = start("sh -c 'kill -STOP $$; exit 5' & exit 0");
  reaper.watch(parent, *this);
  ASSERT_TRUE(reap_until([this] { return exits.size() == 1; }));
  while (signal_group(parent, SIGCONT) && reaper.strangers() < 2) {
    ::poll(nullptr, 0, 1);  // it may not have stopped yet
    reaper.reap();
  }
  EXPECT_EQ(reaper.strangers(), 2U);
  EXPECT_EQ(exits.size(), 1U);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_F(ReaperTest, HandlerMayStartAndWatchAnotherOne) {
  next = [](ReaperTest& self, pid_t) {
    if (self.exits.size() < 5) self.reaper.watch(self.start("exit 7"), self);
  };
  reaper.watch(start("exit 7"), *this);
  ASSERT_TRUE(reap_until([this] { return exits.size() == 5; }));
  EXPECT_TRUE(std::ranges::all_of(exits, [](const auto& exit) { return exit.second.status == 7; }));
}

TEST_F(ReaperTest, HandlerMayForgetOneThatHasEndedToo) {
  static pid_t others[2];
  others[0] = start("exit 0");
  others[1] = start("exit 0");
  for (const pid_t pid : others) {
    reaper.watch(pid, *this);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  }
  next = [](ReaperTest& self, pid_t) {
    for (const pid_t pid : others)
      self.reaper.forget(pid);
  };
  reaper.reap();
  EXPECT_EQ(exits.size(), 1U);
  EXPECT_EQ(reaper.strangers(), 1U);
}

TEST_F(ReaperTest, NothingToReapIsNoHarm) {
  reaper.reap();
  EXPECT_TRUE(exits.empty());
  EXPECT_EQ(reaper.strangers(), 0U);
}

}  // namespace
}  // namespace portunus::supervisor
