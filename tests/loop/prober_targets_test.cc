// Prober: changes of the targets, faults of our own, and many members.
#include "tests/loop/prober_fixture.h"

namespace portunus::health {
namespace {

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

TEST_F(ProberTest, AMemberInMaintenanceIsNotProbedAndIsAsNewAfterwards) {
  ScriptedMember server(accepts());
  const auto member = member_at(server.port());
  const auto paused = member_at(server.port(), "paused");
  set({{member, quick_settings()}, {paused, quick_settings(), {}, true}});
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; })) << "nobody waits for the other one";
  EXPECT_EQ(paused->state.load(), MemberState::starting);
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  set({{member, quick_settings(), {}, true}, {paused, quick_settings(), {}, true}});
  EXPECT_EQ(member->state.load(), MemberState::starting);
  const int before = events_.probes;
  suspect(*member);
  ASSERT_TRUE(run_until([&] { return !member->is_suspect.load(); }));
  run_for(200);
  EXPECT_EQ(events_.probes, before);
  // Other settings meanwhile do not wake it; a good probe afterwards does.
  set({{member, slow_settings(), {}, true},
       {paused, slow_settings(conf::ProbeKind::off), {}, true}});
  run_for(50);
  EXPECT_EQ(events_.probes, before);
  EXPECT_EQ(paused->state.load(), MemberState::starting);
  set({{member, slow_settings()}, {paused, slow_settings(conf::ProbeKind::off)}});
  EXPECT_EQ(paused->state.load(), MemberState::up);
  ASSERT_TRUE(run_until_state(member, MemberState::up));
  EXPECT_EQ(events_.probes, before + 1);
  EXPECT_EQ(status(member).reason, "first probe succeeded");
}

TEST_F(ProberTest, GoesOnFromWhatWasKnown) {
  const HangingPort silent;
  ScriptedMember server(accepts());
  const auto was_up = member_at(silent.port(), "was up");
  const auto was_down = member_at(server.port(), "was down");
  const auto paused = member_at(server.port(), "paused");
  const ProbeTarget::Known up{true, 17, "first probe succeeded"};
  const ProbeTarget::Known down{false, 18, "3 probes failed: refused", true};
  conf::Health settings = quick_settings();
  settings.rise = 2;
  set({{was_up, slow_settings(), up}, {was_down, settings, down}, {paused, settings, up, true}});
  EXPECT_EQ(was_up->state.load(), MemberState::up) << "at once";
  EXPECT_EQ(was_down->state.load(), MemberState::down);
  EXPECT_EQ(paused->state.load(), MemberState::starting);
  EXPECT_EQ(status(was_up).since_us, 17U);
  EXPECT_EQ(status(was_down).reason, down.reason);
  EXPECT_TRUE(status(was_down).was_up);
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; }));
  EXPECT_EQ(events_.probes, 0) << "nobody waits for a probe";
  ASSERT_TRUE(run_until([&] { return events_.probes == 1; }));
  EXPECT_EQ(was_down->state.load(), MemberState::down) << "as long as ever";
  ASSERT_TRUE(run_until_state(was_down, MemberState::up));
  EXPECT_EQ(status(was_down).good_total, 2U);
  ASSERT_EQ(events_.changes.size(), 1U);
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
  EXPECT_TRUE(status(kept).was_up);
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
  ASSERT_TRUE(run_until_state(member, MemberState::down));  // long before the next round
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
  std::atomic<bool> is_quick = true;
  std::atomic<int> asked = 0;
  ScriptedMember server([&](Connection& connection) {
    if (connection.read_head().empty()) return;
    ++asked;
    while (!is_quick)
      if (!connection.wait(10)) return;
    connection.send(ok_answer());
  });
  std::vector<ProbeTarget> targets;
  conf::Health settings = quick_settings(conf::ProbeKind::http);
  settings.timeout = conf::Milliseconds{1'500};
  settings.fall = 1;
  for (int i = 0; i < 20; ++i)
    targets.push_back({member_at(server.port()), settings});
  set(targets);
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; }));
  for (int i = 0; i < 2; ++i) {
    // Begins checks and then stands still for longer than their time-out; the answers come meanwhile.
    is_quick = false;
    const int before = asked;
    ASSERT_TRUE(run_until([&] { return asked > before; }));
    is_quick = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2'000));
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
  // What the server closes only now would make room below it.
  std::vector<int> fillers;
  const bool was_seen = run_until([&] {
    for (int filler = ::dup(0); filler >= 0; filler = ::dup(0))
      fillers.push_back(filler);
    return events_.unjudged >= 5;
  });
  for (const int filler : fillers)
    ::close(filler);
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
  // Between a request and its answer: a thread that only has to close yet is no connection of ours.
  std::atomic<int> asking = 0;
  std::atomic<int> most = 0;
  ScriptedMember server([&](Connection& connection) {
    if (connection.read_head().empty()) return;
    const int now = ++asking;
    for (int before = most; before < now && !most.compare_exchange_weak(before, now);) {
    }
    connection.wait(20);
    --asking;
    connection.send(ok_answer());
  });
  std::vector<ProbeTarget> targets;
  for (int i = 0; i < 2'000; ++i) {
    targets.push_back({member_at(server.port()), slow_settings(conf::ProbeKind::http)});
  }
  set(targets);
  ASSERT_TRUE(run_until([&] { return events_.rounds == 1; }, 60'000));
  EXPECT_GE(events_.probes, 2'000);  // more where the first round took longer than the interval
  EXPECT_LE(most.load(), 512);
}

// Hanging members make room for the others after a moment.
TEST_F(ProberTest, HangingMembersDoNotHoldUpOthers) {
  const HangingPort hanging;
  ScriptedMember server(accepts());
  std::vector<ProbeTarget> targets;
  const conf::Health settings = slow_settings();
  for (int i = 0; i < 150; ++i)
    targets.push_back({member_at(hanging.port()), settings});
  const auto good = member_at(server.port());
  targets.push_back({good, settings});
  set(targets);
  // Two full rows of time-outs would be before it.
  EXPECT_TRUE(run_until_state(good, MemberState::up));
  EXPECT_EQ(events_.probes, 1);
}

}  // namespace
}  // namespace portunus::health
