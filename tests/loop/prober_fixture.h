// A Prober on a loop of the test, and what it tells.
#pragma once

#include "health/prober.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "tests/support/scripted_member.h"

namespace portunus::health {

using test::Connection;
using test::HangingPort;
using test::ScriptedMember;

struct Recorder final : ProberEvents {
  struct Change {
    std::string member;
    MemberState from, to;
    std::string cause, reason;
  };
  void on_transition(const Member& member, const StateChange& change) override {
    changes.push_back(
        {member.name, change.from, change.to, change.cause, std::string(change.reason)});
    EXPECT_EQ(member.state.load(), change.to);
    if (at_transition) at_transition();
  }
  void on_probe_done(const Member&, const CheckResult& result, std::uint64_t duration_ns) override {
    ++probes;
    if (result.verdict == Verdict::unjudged) ++unjudged;
    last_duration_ns = duration_ns;
    if (at_probe) at_probe();
  }
  void on_first_round_done() override { ++rounds; }

  std::vector<Change> changes;
  int probes = 0;
  int unjudged = 0;
  int rounds = 0;
  std::uint64_t last_duration_ns = 0;
  std::function<void()> at_transition;
  std::function<void()> at_probe;
};

inline std::shared_ptr<Member> member_at(std::uint16_t port, const std::string& name = "app:80") {
  return std::make_shared<Member>("web", name, net::Address::parse_ip("127.0.0.1", port).value());
}

// Rows of probes come every 100 ms or so.
inline conf::Health quick_settings(conf::ProbeKind kind = conf::ProbeKind::tcp) {
  conf::Health settings;
  settings.kind = kind;
  settings.path = "/health";
  settings.interval = conf::Milliseconds{50};
  settings.timeout = conf::Milliseconds{20'000};  // no machine stands still for so long
  return settings;
}

inline conf::Health slow_settings(conf::ProbeKind kind = conf::ProbeKind::tcp) {
  conf::Health settings = quick_settings(kind);
  settings.interval = conf::Milliseconds{60'000};
  return settings;
}

inline std::string ok_answer(const std::string& body = "ok") {
  return "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class ProberTest : public testing::Test {
 protected:
  ~ProberTest() override {
    prober_.stop();
    loop_.stop();
    loop_.run();
  }
  void set(std::vector<ProbeTarget> targets) { prober_.set_targets(targets); }
  void suspect(Member& member) {
    if (member.is_suspect.exchange(true)) return;
    loop_.post([this, which = &member] { prober_.on_suspect(which); });
  }
  template <typename Done>
  bool run_until(Done done, std::uint64_t limit_ms = 20'000) {
    const std::uint64_t end_ns = base::monotonic_ns() + limit_ms * 1'000'000;
    while (!done()) {
      if (base::monotonic_ns() > end_ns) return false;
      uv_run(loop_.uv(), UV_RUN_ONCE);
    }
    return true;
  }
  bool run_until_state(const std::shared_ptr<Member>& member, MemberState state) {
    return run_until([&] { return member->state.load() == state; });
  }
  void run_for(std::uint64_t ms) {
    const std::uint64_t end_ns = base::monotonic_ns() + ms * 1'000'000;
    EXPECT_TRUE(run_until([end_ns] { return base::monotonic_ns() >= end_ns; }, ms + 20'000));
  }
  const ProbeStatus& status(const std::shared_ptr<Member>& member) {
    return *prober_.status_of(*member);
  }

  net::Loop loop_;
  Recorder events_;
  Prober prober_{loop_, events_};
};

inline ScriptedMember::Script accepts() {
  return [](Connection& connection) {
    connection.read_to_end();
  };
}

}  // namespace portunus::health
