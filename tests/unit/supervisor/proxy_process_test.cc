#include "supervisor/proxy_process.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "child_fixture.h"

namespace portunus::supervisor {
namespace {

// A proxy that is a script: it says the words, reads nothing and ends.
class ProxyProcessTest : public testing::Test, public ProxyEvents {
 public:
  void SetUp() override { ASSERT_EQ(uv_loop_init(&loop), 0); }
  void TearDown() override {
    uv_run(&loop, UV_RUN_DEFAULT);  // what has closed goes
    EXPECT_EQ(uv_loop_close(&loop), 0);
  }
  void on_proxy_message(ProxyProcess& /*proxy*/, const Message& message) override {
    heard.push_back(message.kind);
  }
  void on_proxy_files(ProxyProcess& /*proxy*/,
                      conf::SealedFiles /*files*/,
                      const Message& /*message*/) override {}
  void on_proxy_alive(ProxyProcess& /*proxy*/) override { ++alive; }
  void on_proxy_memory(ProxyProcess& /*proxy*/, int descriptor) override { ::close(descriptor); }
  void on_proxy_exit(ProxyProcess& /*proxy*/, Exit exit) override {
    EXPECT_EQ(exit.status, 7);
    heard_before_exit = heard.size();
    ++exits;
  }

  std::string script(const std::vector<Message>& words) {
    std::string path = folder.path / "proxy";
    std::ofstream text(path);
    text << "#!/bin/sh\n";
    for (const Message& word : words)
      text << "printf %s '" << encode(word) << "' >&3\n";
    text << "exit 7\n";
    text.close();
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  // Its end is heard of first: the loop has not run, so nothing was read from the channel.
  void run_to_its_end(const std::vector<Message>& words) {
    Reaper reaper;
    ProxyProcess proxy(loop, reaper, *this);
    ProxyLaunch launch;
    launch.program = script(words);
    std::string why;
    ASSERT_TRUE(proxy.start(launch, Message(Kind::members), why)) << why;
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(proxy.pid()), &info, WEXITED | WNOWAIT), 0);
    reaper.reap();
    EXPECT_FALSE(proxy.is_ready());
    EXPECT_EQ(proxy.channel(), -1);
  }

  uv_loop_t loop{};
  test::TestFolder folder;
  std::vector<Kind> heard;
  std::size_t heard_before_exit = 0;
  int alive = 0;
  int exits = 0;
};

TEST_F(ProxyProcessTest, WhatItSaidOfReplicasBeforeItsEndIsHeard) {
  run_to_its_end({Message(Kind::health), Message(Kind::drained)});
  EXPECT_EQ(heard, (std::vector{Kind::health, Kind::drained}));
  EXPECT_EQ(heard_before_exit, 2U);
  EXPECT_EQ(exits, 1);
}

// An upgrade must not go on with it.
TEST_F(ProxyProcessTest, AfterItsEndItDoesNotBecomeReady) {
  run_to_its_end(
      {Message(Kind::ready), Message(Kind::alive), Message(Kind::prepare), Message(Kind::health)});
  EXPECT_EQ(heard, std::vector{Kind::health});
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(exits, 1);
}

}  // namespace
}  // namespace portunus::supervisor
