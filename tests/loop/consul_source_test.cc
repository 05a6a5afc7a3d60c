#include "discovery/source.h"

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "discovery/consul_watch.h"
#include "tests/loop/consul_fixture.h"

namespace portunus::discovery {
namespace {

using ConsulSourceTest = ConsulTest;

TEST_F(ConsulSourceTest, TheFirstListComesAtOnceAndTheNextOneWaits) {
  set({query()});
  const std::string first = reply(0, at_index(7, consul_body(2)));
  EXPECT_TRUE(first.starts_with("GET /v1/health/service/web HTTP/1.1\r\n")) << first;
  ASSERT_TRUE(wait_for_lists(1));
  EXPECT_EQ(lists_[0].first, "web");
  EXPECT_EQ(lists_[0].second->size(), 2U);
  EXPECT_EQ(first_lists_, 1);
  const std::string next = reply(1, at_index(8, consul_body(3)));
  EXPECT_TRUE(next.starts_with("GET /v1/health/service/web?index=7&wait=")) << next;
  ASSERT_TRUE(wait_for_lists(2));
  EXPECT_EQ(lists_[1].second->size(), 3U);
  EXPECT_EQ(status().index, 8U);
  EXPECT_EQ(status().source, ListSource::consul);
  EXPECT_EQ(status().kept, KeptReason::none);
  EXPECT_EQ(status().updates.changed, 2U);
  EXPECT_TRUE(kept_.empty());
}

TEST_F(ConsulSourceTest, TheSameIndexIsNoNews) {
  set({query()});
  reply(0, at_index(7, consul_body(2)));
  reply(1, at_index(7, "what a body says then is not looked at"));
  EXPECT_TRUE(question(2).starts_with("GET /v1/health/service/web?index=7&"));
  EXPECT_EQ(lists_.size(), 1U);
  EXPECT_EQ(status().updates.unchanged, 1U);
  EXPECT_EQ(status().updates.error, 0U);
}

TEST_F(ConsulSourceTest, AnIndexThatGoesBackBeginsAnew) {
  set({query()});
  reply(0, at_index(100, consul_body(2)));
  reply(1, at_index(5, consul_body(2)));
  EXPECT_TRUE(reply(2, at_index(5, consul_body(2))).starts_with("GET /v1/health/service/web HTTP"));
  EXPECT_TRUE(question(3).starts_with("GET /v1/health/service/web?index=5&"));
  EXPECT_EQ(status().kept, KeptReason::none);
}

// Its services have not registered again yet.
TEST_F(ConsulSourceTest, AnAgentThatHasForgottenAllDoesNotEmptyTheList) {
  set({query()});
  reply(0, at_index(100, consul_body(3)));
  reply(1, at_index(2, "[]"));
  reply(2, at_index(2, "[]"));
  ASSERT_TRUE(wait_for_kept(KeptReason::empty));
  EXPECT_EQ(members(), 3U);
  EXPECT_EQ(status().kept_instances, 3U);
  reply(3, at_index(9, consul_body(2)));
  ASSERT_TRUE(wait_for_kept(KeptReason::loss));
  EXPECT_EQ(members(), 3U);
  reply(4, at_index(10, consul_body(3)));
  ASSERT_TRUE(wait_for_kept(KeptReason::none));
  EXPECT_EQ(status().kept_instances, 0U);
}

TEST_F(ConsulSourceTest, AnOrderToLeaveGetsThroughWhenAQuorumConfirmsIt) {
  ServiceQuery impatient = query();
  impatient.guard.confirm_empty_ms = 200;
  const std::string key = key_of(impatient);
  set({impatient});
  reply(0, at_index(7, consul_body(3)));
  reply(1, at_index(8, "[]"));
  EXPECT_NE(question(2).find("index=8"), std::string::npos);
  EXPECT_EQ(status(key).instances->size(), 3U);
  // The blocking question is given up for one by quorum.
  EXPECT_TRUE(reply(3, at_index(8, "[]")).starts_with("GET /v1/health/service/web?consistent "));
  ASSERT_TRUE(driver_.run_until([&] { return status(key).instances->empty(); }));
  EXPECT_EQ(status(key).kept, KeptReason::none);
  EXPECT_NE(question(4).find("index=8"), std::string::npos);
}

TEST_F(ConsulSourceTest, FailuresChangeNothing) {
  set({query()});
  reply(0, at_index(7, consul_body(2)));
  struct Case {
    std::string bytes;
    KeptReason reason;
    const char* detail;
  };
  const std::string known = "X-Consul-Index: 9\r\n";
  const Case cases[] = {
      {answer("", "rpc error", "500 Internal Server Error"), KeptReason::unreachable,
       "status 500: rpc error"},
      {answer("", "No cluster leader", "500 Internal Server Error"), KeptReason::no_leader,
       "No cluster leader"},
      {answer(known + "X-Consul-KnownLeader: false\r\n", "[]"), KeptReason::no_leader,
       "know no leader"},
      {answer("", "ACL not found", "403 Forbidden"), KeptReason::refused, "status 403"},
      {answer(known + "X-Consul-Results-Filtered-By-ACLs: true\r\n", "[]"), KeptReason::refused,
       "may not read"},
      {answer(known, "<html>"), KeptReason::bad_answer, "not an array"},
      {answer("", "[]"), KeptReason::bad_answer, "no X-Consul-Index"},
      {answer(known, "[" + consul_entry(1)), KeptReason::bad_answer, "not an array of objects"},
      {"garbage\r\n\r\n", KeptReason::unreachable, ""},
  };
  std::size_t n = 1;
  for (const Case& one : cases) {
    SCOPED_TRACE(one.bytes);
    const std::uint64_t errors = status().updates.error;
    reply(n++, one.bytes);
    ASSERT_TRUE(driver_.run_until([&] { return status().updates.error == errors + 1; }));
    EXPECT_EQ(status().kept, one.reason);
    EXPECT_NE(status().last_error.find(one.detail), std::string::npos) << status().last_error;
    EXPECT_EQ(members(), 2U);
    // What comes after a failure does not wait for a change.
    EXPECT_EQ(question(n).find("index="), std::string::npos);
  }
  agent_.peers[n]->reset();
  ++n;
  question(n);
  EXPECT_EQ(status().kept, KeptReason::unreachable);
  EXPECT_EQ(lists_.size(), 1U);
  reply(n, at_index(7, consul_body(2)));
  ASSERT_TRUE(wait_for_kept(KeptReason::none));
  EXPECT_EQ(status().last_error, "");
  EXPECT_EQ(lists_.size(), 1U) << "it is still the same list";
}

TEST_F(ConsulSourceTest, AnAnswerThatIsTooLargeIsRefused) {
  settings_.answer_max = 1'000;
  set({query()});
  reply(0, at_index(7, consul_body(2)));
  reply(1, at_index(8, consul_body(50)));
  ASSERT_TRUE(wait_for_kept(KeptReason::bad_answer));
  EXPECT_EQ(members(), 2U);
}

TEST_F(ConsulSourceTest, AFrozenAgentIsLeftForTheNext) {
  test::PeerListener other(driver_);
  other.listen();
  settings_.endpoints.push_back(endpoint(other));
  settings_.answer_ms = 300;
  set({query()});
  question(0);  // and it never answers
  EXPECT_TRUE(reply(other, 0, at_index(7, consul_body(2))).starts_with("GET /v1/health"));
  ASSERT_TRUE(wait_for_lists(1));
  EXPECT_EQ(status().agent, endpoint(other).address.text());
  EXPECT_EQ(status().kept, KeptReason::none);
  EXPECT_NE(question(other, 1).find("index=7"), std::string::npos);
}

TEST_F(ConsulSourceTest, ASlowDripIsCutOff) {
  settings_.answer_ms = 300;
  set({query()});
  question(0);
  agent_.peers[0]->send("HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 100\r\n\r\n[");
  ASSERT_TRUE(wait_for_kept(KeptReason::unreachable));
  EXPECT_NE(status().last_error.find("in time"), std::string::npos) << status().last_error;
  EXPECT_EQ(status().source, ListSource::none);
  EXPECT_EQ(first_lists_, 1) << "nobody waits for ever";
  reply(1, at_index(7, consul_body(1)));
  ASSERT_TRUE(wait_for_lists(1));
}

TEST_F(ConsulSourceTest, AStaleAnswerIsAskedForAgainAtTheLeader) {
  ServiceQuery stale = query();
  stale.may_be_stale = true;
  const std::string key = key_of(stale);
  set({stale});
  EXPECT_NE(reply(0, answer("X-Consul-Index: 7\r\nX-Consul-LastContact: 10001\r\n", "[]"))
                .find("?stale "),
            std::string::npos);
  EXPECT_EQ(reply(1, at_index(7, consul_body(2))).find("stale"), std::string::npos);
  ASSERT_TRUE(wait_for_lists(1));
  EXPECT_NE(question(2).find("stale"), std::string::npos);
  EXPECT_EQ(status(key).updates.error, 1U);
}

TEST_F(ConsulSourceTest, TheTokenIsReadAgainWhenItsFileChanges) {
  const std::string path = testing::TempDir() + "/consul_token." + std::to_string(::getpid());
  const auto write = [&](const char* text) {
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
  };
  std::filesystem::remove(path);
  settings_.token_file = path;
  set({query()});
  ASSERT_TRUE(wait_for_kept(KeptReason::refused)) << "there is no file";
  EXPECT_TRUE(agent_.peers.empty()) << "nothing is asked without";
  write("  first\n");
  const std::string refused = reply(0, answer("", "ACL not found", "403 Forbidden"));
  EXPECT_NE(refused.find("x-consul-token: first\r\n"), std::string::npos) << refused;
  write("second");
  ASSERT_TRUE(driver_.run_until([&] { return agent_.peers.size() > 1; }));
  std::string asked = question(1);
  std::size_t n = 1;
  if (asked.find("first") != std::string::npos) {  // it was on its way
    reply(n++, answer("", "ACL not found", "403 Forbidden"));
    asked = question(n);
  }
  EXPECT_NE(asked.find("x-consul-token: second\r\n"), std::string::npos) << asked;
  EXPECT_EQ(status().last_error.find("first"), std::string::npos);
  std::filesystem::remove(path);
}

TEST_F(ConsulSourceTest, EqualQueriesShareAWatchAndOthersEnd) {
  set({query(), query(), query("api")});
  question(0);
  question(1);
  driver_.settle();
  EXPECT_EQ(agent_.peers.size(), 2U);
  set({query()});
  driver_.settle();
  const std::size_t gone = agent_.peers[0]->in.find("/api") == std::string::npos ? 1 : 0;
  EXPECT_TRUE(driver_.run_until([&] { return agent_.peers[gone]->is_over(); }));
  EXPECT_FALSE(agent_.peers[1 - gone]->is_over()) << "the other goes on";
  EXPECT_EQ(agent_.peers.size(), 2U);
  EXPECT_FALSE(source_.status("api").has_value());
}

TEST_F(ConsulSourceTest, ABurstIsToldTogether) {
  set({query()});
  for (int i = 0; i < 6; ++i)
    reply(static_cast<std::size_t>(i), at_index(7 + i, consul_body(1 + i)));
  ASSERT_TRUE(
      driver_.run_until([&] { return !lists_.empty() && lists_.back().second->size() == 6; }));
  EXPECT_LT(lists_.size(), 6U);
  EXPECT_EQ(lists_.front().second->size(), 1U);
}

TEST_F(ConsulSourceTest, AHotIndexIsNotAskedForWithoutEnd) {
  set({query()});
  const std::uint64_t begin_ns = base::monotonic_ns();
  constexpr int kQuestions = 12;
  for (int i = 0; i < kQuestions; ++i)
    reply(static_cast<std::size_t>(i), at_index(7 + i, consul_body(1)));
  // Nine may come together, the first one included.
  const std::uint64_t least_ms = (kQuestions - 1 - ConsulWatch::kBurst) * ConsulWatch::kFloorMs;
  EXPECT_GE((base::monotonic_ns() - begin_ns) / base::kNsPerMs, least_ms);
}

TEST_F(ConsulSourceTest, MoreServicesThanConnectionsTakeTurns) {
  settings_.connections_max = 2;
  set({query("a"), query("b"), query("c")});
  question(0);
  question(1);
  driver_.settle();
  EXPECT_EQ(agent_.peers.size(), 2U);
  reply(0, at_index(7, consul_body(1)));
  EXPECT_TRUE(question(2).starts_with("GET /v1/health/service/c "));
  reply(1, at_index(7, consul_body(1)));
  reply(2, at_index(7, consul_body(1)));
  ASSERT_TRUE(wait_for_lists(3));
  EXPECT_EQ(first_lists_, 1);
}

TEST_F(ConsulSourceTest, ASnapshotServesUntilConsulAnswers) {
  const std::string folder = testing::TempDir() + "/consul_lists." + std::to_string(::getpid());
  std::filesystem::remove_all(folder);
  settings_.snapshots = folder;
  set({query()});
  reply(0, at_index(7, consul_body(2)));
  ASSERT_TRUE(driver_.run_until(
      [&] { return std::filesystem::exists(folder) && !std::filesystem::is_empty(folder); }));
  set({});
  lists_.clear();
  set({query()});
  ASSERT_TRUE(wait_for_lists(1));
  EXPECT_EQ(lists_[0].second->size(), 2U);
  EXPECT_EQ(status().source, ListSource::snapshot);
  const std::size_t n = agent_.peers.back()->in.find("index") == std::string::npos ? 1 : 2;
  reply(std::max(n, agent_.peers.size() - 1), at_index(3, "[]"));
  ASSERT_TRUE(wait_for_kept(KeptReason::empty));
  EXPECT_EQ(members(), 2U);
  EXPECT_EQ(status().source, ListSource::consul);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace portunus::discovery
