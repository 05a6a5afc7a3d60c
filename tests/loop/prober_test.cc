#include "health/prober.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "tests/support/scripted_member.h"

namespace portunus::health {
namespace {

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

std::shared_ptr<Member> member_at(std::uint16_t port, const std::string& name = "app:80") {
  return std::make_shared<Member>("web", name, net::Address::parse_ip("127.0.0.1", port).value());
}

// Rows of probes come every 100 ms or so.
conf::Health quick_settings(conf::ProbeKind kind = conf::ProbeKind::tcp) {
  conf::Health settings;
  settings.kind = kind;
  settings.path = "/health";
  settings.interval = conf::Milliseconds{50};
  settings.timeout = conf::Milliseconds{2'000};
  return settings;
}

conf::Health slow_settings(conf::ProbeKind kind = conf::ProbeKind::tcp) {
  conf::Health settings = quick_settings(kind);
  settings.interval = conf::Milliseconds{60'000};
  return settings;
}

std::string ok_answer(const std::string& body = "ok") {
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
  bool run_until(Done done, std::uint64_t limit_ms = 5'000) {
    const std::uint64_t end_ns = base::monotonic_ns() + limit_ms * 1'000'000;
    while (!done()) {
      if (base::monotonic_ns() > end_ns) return false;
      uv_run(loop_.uv(), UV_RUN_ONCE);
    }
    return true;
  }
  bool run_until_state(const std::shared_ptr<Member>& member,
                       MemberState state,
                       std::uint64_t limit_ms = 5'000) {
    return run_until([&] { return member->state.load() == state; }, limit_ms);
  }
  void run_for(std::uint64_t ms) {
    const std::uint64_t end_ns = base::monotonic_ns() + ms * 1'000'000;
    EXPECT_TRUE(run_until([end_ns] { return base::monotonic_ns() >= end_ns; }, ms + 1'000));
  }
  const ProbeStatus& status(const std::shared_ptr<Member>& member) {
    return *prober_.status_of(*member);
  }

  net::Loop loop_;
  Recorder events_;
  Prober prober_{loop_, events_};
};

ScriptedMember::Script accepts() {
  return [](Connection& connection) {
    connection.read_to_end();
  };
}

// ---- joining and leaving ----

TEST_F(ProberTest, JoinsAfterItsFirstGoodProbe) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  set({{member, slow_settings()}});
  EXPECT_EQ(member->state.load(), MemberState::starting);
  EXPECT_EQ(events_.rounds, 0);
  EXPECT_TRUE(run_until([&] { return events_.rounds > 0; }));
  ASSERT_EQ(events_.changes.size(), 1U);
  EXPECT_EQ(events_.changes[0].from, MemberState::starting);
  EXPECT_EQ(events_.changes[0].to, MemberState::up);
  EXPECT_EQ(events_.changes[0].reason, "first probe succeeded");
  const ProbeStatus& now = status(member);
  EXPECT_EQ(now.state, MemberState::up);
  EXPECT_GT(now.since_us, 0U);
  EXPECT_EQ(now.successes, 1U);
  EXPECT_EQ(now.good_total, 1U);
  EXPECT_EQ(now.last.verdict, Verdict::good);
  EXPECT_GT(now.last.at_us, 0U);
  EXPECT_GT(now.last.duration_ns, 0U);
}

// The first probe does not wait for a tick of the wheel. The best of some, for busy machines.
TEST_F(ProberTest, JoinsAtOnce) {
  ScriptedMember server(accepts());
  std::uint64_t best_ns = ~std::uint64_t{0};
  for (int i = 0; i < 8; ++i) {
    const auto member = member_at(server.port());
    const std::uint64_t begun_ns = base::monotonic_ns();
    set({{member, slow_settings()}});
    ASSERT_TRUE(run_until_state(member, MemberState::up));
    best_ns = std::min(best_ns, base::monotonic_ns() - begun_ns);
  }
  EXPECT_LT(best_ns, 50'000'000U);
}

TEST_F(ProberTest, SickFromTheStart) {
  ScriptedMember server(accepts());
  server.refuse();
  const auto member = member_at(server.port());
  set({{member, slow_settings()}});
  EXPECT_TRUE(run_until([&] { return events_.rounds > 0; }));
  EXPECT_EQ(member->state.load(), MemberState::down);
  ASSERT_EQ(events_.changes.size(), 1U);
  EXPECT_EQ(events_.changes[0].reason, "first probe failed: connection refused");
  EXPECT_EQ(status(member).last.detail, "connection refused");
}

TEST_F(ProberTest, FallAndRise) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  set({{member, quick_settings()}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  server.refuse();
  ASSERT_TRUE(run_until_state(member, MemberState::down));
  EXPECT_EQ(status(member).failures, 3U);
  EXPECT_EQ(status(member).reason, "3 probes failed: connection refused");
  server.listen_again();
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  EXPECT_EQ(status(member).successes, 2U);
  EXPECT_EQ(status(member).reason, "2 probes succeeded");
  ASSERT_EQ(events_.changes.size(), 3U);
  EXPECT_EQ(events_.changes[1].cause, "probe");
  EXPECT_EQ(events_.rounds, 1);
}

TEST_F(ProberTest, OneMissedProbeRemovesNobody) {
  ScriptedMember server(ScriptedMember::answer(ok_answer()));
  const auto member = member_at(server.port());
  set({{member, quick_settings(conf::ProbeKind::http)}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  server.set_script(ScriptedMember::answer("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"));
  ASSERT_TRUE(run_until([&] { return status(member).failures >= 1; }));
  server.set_script(ScriptedMember::answer(ok_answer()));
  ASSERT_TRUE(run_until([&] { return status(member).successes >= 2; }));
  EXPECT_EQ(events_.changes.size(), 1U);
}

TEST_F(ProberTest, ATimeoutIsAFailure) {
  ScriptedMember silent(accepts());
  const HangingPort hanging;
  conf::Health settings = slow_settings(conf::ProbeKind::http);
  settings.timeout = conf::Milliseconds{100};
  const auto http = member_at(silent.port(), "http");
  const auto http_hanging = member_at(hanging.port(), "http_hanging");
  const auto tcp_hanging = member_at(hanging.port(), "tcp_hanging");
  conf::Health tcp = settings;
  tcp.kind = conf::ProbeKind::tcp;
  set({{http, settings}, {http_hanging, settings}, {tcp_hanging, tcp}});
  EXPECT_TRUE(run_until([&] { return events_.rounds > 0; }));
  EXPECT_EQ(status(http).reason, "first probe failed: no answer in time");
  EXPECT_EQ(status(http_hanging).reason, "first probe failed: connect timed out");
  EXPECT_EQ(status(tcp_hanging).reason, "first probe failed: connect timed out");
}

// ---- what an HTTP check looks at ----

TEST_F(ProberTest, HttpAnswers) {
  struct Row {
    std::string answer;
    bool is_good;
    std::string detail;
  };
  const std::vector<Row> rows{
      {ok_answer("all is healthy here"), true, "status 200 and the expected body"},
      {ok_answer("all is sick here"), false, "the expected text is not in the body"},
      {"HTTP/1.1 503 No\r\ncontent-length: 7\r\n\r\nhealthy", false, "unexpected status 503"},
      {"HTTP/1.0 200 OK\r\n\r\nhealthy", true, "status 200 and the expected body"},
      {ok_answer(std::string(300'000, 'x') + "healthy"), false,
       "the expected text is not in the first 64 KiB of the body"},
      {"SSH-2.0-x\r\n", false, "malformed start line"},
      {"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsi", false,
       "the member closed the connection in the middle of its answer"},
      {"", false, "the member closed the connection without an answer"},
  };
  std::vector<std::unique_ptr<ScriptedMember>> servers;
  std::vector<ProbeTarget> targets;
  conf::Health settings = slow_settings(conf::ProbeKind::http);
  settings.expect_status = {{200, 299}};
  settings.expect_body = "healthy";
  for (const Row& row : rows) {
    servers.push_back(std::make_unique<ScriptedMember>(ScriptedMember::answer(row.answer)));
    targets.push_back({member_at(servers.back()->port()), settings});
  }
  set(targets);
  ASSERT_TRUE(run_until([&] { return events_.rounds > 0; }));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ProbeStatus& now = status(targets[i].member);
    EXPECT_EQ(now.state, rows[i].is_good ? MemberState::up : MemberState::down) << i;
    EXPECT_EQ(now.last.detail, rows[i].detail) << i;
  }
}

TEST_F(ProberTest, HostPathAgentAndPort) {
  ScriptedMember health(ScriptedMember::answer(ok_answer()));
  ScriptedMember traffic(accepts());
  traffic.refuse();
  const auto member = member_at(traffic.port(), "app1:8080");
  conf::Health settings = slow_settings(conf::ProbeKind::http);
  settings.path = "/health?deep=1";
  settings.port = health.port();
  set({{member, settings}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  std::string seen = health.heard();
  EXPECT_TRUE(seen.starts_with("GET /health?deep=1 HTTP/1.1\r\n")) << seen;
  EXPECT_NE(seen.find("\r\nhost: app1:8080\r\n"), std::string::npos) << seen;
  EXPECT_NE(seen.find("\r\nuser-agent: portunus-probe\r\n"), std::string::npos) << seen;
  EXPECT_NE(seen.find("\r\nconnection: close\r\n"), std::string::npos) << seen;
  settings.host = "health.example";
  health.forget_heard();
  set({{member, settings}});
  ASSERT_TRUE(run_until([&] { return status(member).good_total == 2; }));
  seen = health.heard();
  EXPECT_NE(seen.find("\r\nhost: health.example\r\n"), std::string::npos) << seen;
}

// ---- traffic's suspicion ----

TEST_F(ProberTest, AKilledMemberIsDownSoonAfterTrafficNotices) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  set({{member, slow_settings()}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  server.refuse();
  const std::uint64_t killed_ns = base::monotonic_ns();
  suspect(*member);
  suspect(*member);
  ASSERT_TRUE(run_until_state(member, MemberState::down));
  EXPECT_LT(base::monotonic_ns() - killed_ns, 3'000'000'000U);
  EXPECT_EQ(status(member).failures, 3U);
  EXPECT_FALSE(member->is_suspect.load());
  EXPECT_EQ(events_.changes.back().cause, "connect");
  // Nobody sends anything to a member that is down.
  suspect(*member);
  EXPECT_TRUE(run_until([&] { return !member->is_suspect.load(); }));
}

TEST_F(ProberTest, AFalseSuspicionCostsOneProbe) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  set({{member, slow_settings()}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  for (int i = 0; i < 20; ++i)
    suspect(*member);
  ASSERT_TRUE(run_until([&] { return events_.probes == 2; }));
  EXPECT_FALSE(member->is_suspect.load());
  EXPECT_EQ(member->state.load(), MemberState::up);
  run_for(2 * Prober::kSuspectPauseMs + 100);
  EXPECT_EQ(events_.probes, 2);
}

TEST_F(ProberTest, SuspicionsCannotBecomeAFlood) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  set({{member, slow_settings()}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  const std::uint64_t end_ns = base::monotonic_ns() + 1'000'000'000;
  run_until([&] {
    suspect(*member);
    return base::monotonic_ns() > end_ns;
  });
  EXPECT_LE(events_.probes, 7);  // one and five, and one for the edges
  EXPECT_GE(events_.probes, 2);
}

TEST_F(ProberTest, SuspicionOfAStrangerIsIgnored) {
  const auto stranger = std::make_unique<Member>("web", "gone", net::Address{});
  prober_.on_suspect(stranger.get());
  prober_.on_suspect(nullptr);
  EXPECT_EQ(prober_.status_of(*stranger), nullptr);
}

// ---- set_targets ----

TEST_F(ProberTest, ProbesOffIsUpAtOnce) {
  const auto member = member_at(1);
  set({{member, slow_settings(conf::ProbeKind::off)}});
  EXPECT_EQ(member->state.load(), MemberState::up);
  EXPECT_TRUE(events_.changes.empty());
  EXPECT_TRUE(run_until([&] { return events_.rounds == 1; }));
  ASSERT_EQ(events_.changes.size(), 1U);
  EXPECT_EQ(events_.changes[0].cause, "off");
  EXPECT_EQ(events_.probes, 0);
  suspect(*member);
  EXPECT_TRUE(run_until([&] { return !member->is_suspect.load(); }));
}

TEST_F(ProberTest, TurnedOffWhileDown) {
  ScriptedMember server(accepts());
  server.refuse();
  const auto member = member_at(server.port());
  set({{member, slow_settings()}});
  ASSERT_TRUE(run_until_state(member, MemberState::down));
  set({{member, slow_settings(conf::ProbeKind::off)}});
  EXPECT_EQ(member->state.load(), MemberState::up);
  set({{member, slow_settings()}});  // and on again: the state stays until `fall` failures
  EXPECT_EQ(member->state.load(), MemberState::up);
  ASSERT_TRUE(run_until([&] { return status(member).failures == 1; }));
  EXPECT_EQ(member->state.load(), MemberState::up);
}

TEST_F(ProberTest, NothingNewIsARoundToo) {
  set({});
  EXPECT_EQ(events_.rounds, 0);
  EXPECT_TRUE(run_until([&] { return events_.rounds == 1; }));
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  set({{member, slow_settings()}});
  EXPECT_TRUE(run_until([&] { return events_.rounds == 2; }));
  set({{member, slow_settings()}});
  set({{member, slow_settings()}});
  EXPECT_TRUE(run_until([&] { return events_.rounds == 3; }));
  run_for(150);
  EXPECT_EQ(events_.rounds, 3);
  EXPECT_EQ(events_.probes, 1);
}

TEST_F(ProberTest, AReloadKeepsWhatDidNotChange) {
  ScriptedMember server(accepts());
  ScriptedMember other(accepts());
  const auto kept = member_at(server.port(), "kept");
  const auto gone = member_at(other.port(), "gone");
  const auto added = member_at(other.port(), "added");
  set({{kept, quick_settings()}, {gone, slow_settings()}});
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; }));
  server.refuse();
  ASSERT_TRUE(run_until([&] { return status(kept).failures == 1; }));
  const std::uint64_t since_us = status(kept).since_us;
  set({{added, slow_settings()}, {kept, quick_settings()}});
  EXPECT_EQ(status(kept).failures, 1U);
  EXPECT_EQ(status(kept).since_us, since_us);
  EXPECT_EQ(kept->state.load(), MemberState::up);
  EXPECT_EQ(prober_.status_of(*gone), nullptr);
  ASSERT_TRUE(run_until_state(kept, MemberState::down));
  EXPECT_EQ(status(kept).failures, 3U);
  const auto all = prober_.snapshot();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].member->name, "added");
  EXPECT_EQ(all[1].member->name, "kept");
  EXPECT_EQ(all[1].status.bad_total, status(kept).bad_total);
}

TEST_F(ProberTest, ReloadsDoNotPostponeProbes) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  conf::Health settings = quick_settings();
  settings.interval = conf::Milliseconds{200};
  set({{member, settings}});
  EXPECT_TRUE(run_until([&] {  // which looks every 100 ms
    set({{member, settings}});
    return events_.probes >= 4;
  }));
}

TEST_F(ProberTest, ChangedSettingsAreTriedSoon) {
  ScriptedMember server(ScriptedMember::answer(ok_answer()));
  const auto member = member_at(server.port());
  conf::Health settings = slow_settings(conf::ProbeKind::http);
  set({{member, settings}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  settings.expect_body = "never there";
  settings.fall = 1;
  set({{member, settings}});
  EXPECT_EQ(member->state.load(), MemberState::up);
  ASSERT_TRUE(run_until_state(member, MemberState::down, 1'000));
}

TEST_F(ProberTest, ForgottenWhileItsCheckRuns) {
  const HangingPort hanging;
  ScriptedMember silent(accepts());
  for (int turns = 0; turns < 5; ++turns) {
    std::weak_ptr<Member> gone;
    {
      const auto tcp = member_at(hanging.port());
      const auto http = member_at(silent.port());
      gone = http;
      set({{tcp, slow_settings()}, {http, slow_settings(conf::ProbeKind::http)}});
    }
    for (int i = 0; i < turns; ++i)
      uv_run(loop_.uv(), UV_RUN_ONCE);
    const int rounds = events_.rounds;
    set({});
    EXPECT_TRUE(run_until([&] { return gone.expired() && events_.rounds > rounds; }));
  }
  EXPECT_EQ(events_.probes, 0);
}

TEST_F(ProberTest, HandlersMayCallAnything) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  const auto next = member_at(server.port(), "next");
  events_.at_transition = [&] {
    events_.at_transition = nullptr;
    set({{next, slow_settings()}});
  };
  set({{member, slow_settings()}});
  ASSERT_TRUE(run_until_state(next, MemberState::up));
  EXPECT_EQ(events_.rounds, 1);  // the first round has been superseded: this is the second
  const auto last = member_at(server.port(), "last");
  events_.at_probe = [&] {
    prober_.stop();
  };
  set({{next, slow_settings()}, {last, slow_settings()}});
  ASSERT_TRUE(run_until_state(last, MemberState::up));
  run_for(150);
  EXPECT_EQ(events_.changes.size(), 2U);  // not that of `last`
  EXPECT_TRUE(prober_.snapshot().empty());
}

TEST_F(ProberTest, StopsWhateverRuns) {
  const HangingPort hanging;
  ScriptedMember silent(accepts());
  std::vector<ProbeTarget> targets;
  for (int i = 0; i < 200; ++i) {
    targets.push_back({member_at(i % 2 == 0 ? hanging.port() : silent.port()),
                       slow_settings(i % 3 == 0 ? conf::ProbeKind::tcp : conf::ProbeKind::http)});
  }
  set(targets);
  run_for(120);
  prober_.stop();
  loop_.stop();
  loop_.run();  // would not return if a socket were left open
  EXPECT_EQ(events_.rounds, 0);
}

// ---- faults of our own ----

TEST_F(ProberTest, ALoopThatStoodStillMarksNobodyDown) {
  ScriptedMember server(ScriptedMember::answer(ok_answer()));
  std::vector<ProbeTarget> targets;
  conf::Health settings = quick_settings(conf::ProbeKind::http);
  settings.timeout = conf::Milliseconds{400};
  settings.fall = 1;
  for (int i = 0; i < 20; ++i)
    targets.push_back({member_at(server.port()), settings});
  set(targets);
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; }));
  for (int i = 0; i < 2; ++i) {
    // Begins checks and then stands still for far longer than their time-out.
    const int before = server.accepted();
    ASSERT_TRUE(run_until([&] { return server.accepted() > before; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(1'000));
    run_for(200);
  }
  for (const ProbeTarget& target : targets) {
    EXPECT_EQ(target.member->state.load(), MemberState::up);
  }
  EXPECT_EQ(events_.changes.size(), targets.size());
  EXPECT_GT(events_.unjudged, 0);
}

TEST_F(ProberTest, AfterALongStandstillProbesAreSpread) {
  ScriptedMember server(accepts());
  std::vector<ProbeTarget> targets;
  conf::Health settings = quick_settings();
  settings.interval = conf::Milliseconds{600};
  for (int i = 0; i < 100; ++i)
    targets.push_back({member_at(server.port()), settings});
  set(targets);
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; }));
  // For the interval and as long again as a stop of the loop has to be, so that all are late.
  std::this_thread::sleep_for(std::chrono::milliseconds(1'800));
  const int before = events_.probes;
  run_for(150);
  EXPECT_LT(events_.probes - before, 60);  // all were due
  EXPECT_TRUE(run_until([&] { return events_.probes - before >= 100; }));
}

// No descriptor left: that is nobody's fault but ours.
TEST_F(ProberTest, LackOfDescriptorsMarksNobodyDown) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  conf::Health settings = quick_settings();
  settings.fall = 1;
  set({{member, settings}});
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
  // Descriptors of connections that are open now are above the limit and may still be closed.
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool was_seen = run_until([&] { return events_.unjudged >= 5; });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(was_seen);
  EXPECT_EQ(member->state.load(), MemberState::up);
  EXPECT_EQ(events_.changes.size(), 1U);
  EXPECT_EQ(status(member).last.detail, "out of file descriptors");
  const std::uint64_t good = status(member).good_total;
  EXPECT_TRUE(run_until([&] { return status(member).good_total > good; }));
}

// ---- many ----

TEST_F(ProberTest, ThousandsOfMembers) {
  ScriptedMember server(ScriptedMember::answer(ok_answer()));
  std::vector<ProbeTarget> targets;
  for (int i = 0; i < 2'000; ++i) {
    targets.push_back({member_at(server.port()), slow_settings(conf::ProbeKind::http)});
  }
  set(targets);
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; }, 20'000));
  EXPECT_EQ(events_.probes, 2'000);
  EXPECT_LE(server.most_at_once(), 512);
  const std::uint64_t begun_ns = base::monotonic_ns();
  set(targets);
  EXPECT_LT(base::monotonic_ns() - begun_ns, 100'000'000U);
}

// Hanging members make room for the others after a moment.
TEST_F(ProberTest, HangingMembersDoNotHoldUpOthers) {
  const HangingPort hanging;
  ScriptedMember server(accepts());
  std::vector<ProbeTarget> targets;
  conf::Health settings = slow_settings();
  settings.timeout = conf::Milliseconds{1'200};
  for (int i = 0; i < 150; ++i)
    targets.push_back({member_at(hanging.port()), settings});
  const auto good = member_at(server.port());
  targets.push_back({good, settings});
  set(targets);
  // Two full rows of time-outs would be before it.
  EXPECT_TRUE(run_until_state(good, MemberState::up, 2'000));
  EXPECT_TRUE(run_until([&] { return events_.rounds == 1; }));
}

}  // namespace
}  // namespace portunus::health
