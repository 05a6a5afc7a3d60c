// The first SIGALRM gives time, the second ends the process.
#include "proxy/orphan_alarm.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace portunus::proxy {
namespace {

TEST(OrphanAlarmDeathTest, WhoHangsIsEndedByTheSecondAlarm) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        install_orphan_alarm();
        set_orphan_patience(4'500);
        ::raise(SIGALRM);
        const unsigned left = ::alarm(1);  // sooner, for the test
        std::fprintf(stderr, "left: %u\n", left);
        while (true)
          ::pause();
      },
      testing::KilledBySignal(SIGALRM), "left: 1[34]");
}

}  // namespace
}  // namespace portunus::proxy
