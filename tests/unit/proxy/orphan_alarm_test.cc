// The first signal begins the time, further ones change nothing, and its end is that of the process.
#include "proxy/orphan_alarm.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace portunus::proxy {
namespace {

TEST(OrphanAlarmDeathTest, WhoHangsIsEndedInTime) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        install_orphan_alarm();
        set_orphan_patience(4'500);
        for (int i = 0; i < 3; ++i)
          ::raise(SIGVTALRM);
        const unsigned left = ::alarm(1);  // sooner, for the test
        std::fprintf(stderr, "left: %u\n", left);
        while (true)
          ::pause();
      },
      testing::KilledBySignal(SIGALRM), "left: 1[34]");
}

}  // namespace
}  // namespace portunus::proxy
