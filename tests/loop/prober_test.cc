// Prober: members join and leave; what an HTTP check looks at; suspicions of traffic.
#include "tests/loop/prober_fixture.h"

namespace portunus::health {
namespace {

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
  settings.timeout = conf::Milliseconds{1'500};  // a slow machine has connected before
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
  suspect(*member);
  suspect(*member);
  ASSERT_TRUE(run_until_state(member, MemberState::down));  // long before the next round
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
    return base::monotonic_ns() > end_ns && events_.probes >= 2;
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

}  // namespace
}  // namespace portunus::health
