// Members that come and go: how they are merged into a pool's list, what is probed, and when one that
// drains has drained.
#include "proxy/dynamic_members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace portunus::proxy {
namespace {

using health::MemberState;
using testing::ElementsAre;
using testing::IsEmpty;

class DynamicMembersTest : public testing::Test {
 protected:
  using Members = std::vector<ServiceMembers::Member>;

  bool set(const std::vector<ServiceMembers>& services) {
    changes_.clear();
    return dynamic_.set(services, changes_);
  }
  // One service of one pool.
  bool set(const Members& members) { return set({{"web", "app", members}}); }
  // As the prober does.
  static void probed(health::Member& member, MemberState verdict) {
    member.verdict = verdict;
    member.publish();
  }
  static std::vector<std::string> names(const SharedMemberList& list) {
    std::vector<std::string> all;
    for (const MemberEntry& entry : list->entries)
      all.push_back(entry.member->name + (entry.is_draining ? " draining" : ""));
    return all;
  }
  SharedMemberList configured(const std::vector<std::uint16_t>& ports) {
    auto list = std::make_shared<MemberList>();
    for (const std::uint16_t port : ports) {
      list->entries.push_back({known_.get("app", "127.0.0.1:" + std::to_string(port),
                                          *net::Address::parse_ip("127.0.0.1", port)),
                               5, false});
    }
    list->fixed = ports.size();
    return list;
  }
  std::vector<std::uint16_t> drained(std::uint64_t round) {
    std::vector<std::uint16_t> ports;
    for (const auto& one : dynamic_.take_drained(round)) {
      EXPECT_EQ(one.service, "web");
      ports.push_back(one.port);
    }
    return ports;
  }

  MetricsRegistry metrics_;
  MemberRegistry known_{metrics_};
  DynamicMembers dynamic_{known_};
  std::vector<DynamicMembers::Change> changes_;
};

TEST_F(DynamicMembersTest, ConfiguredMembersStandFirstAndOthersComeAndGo) {
  SharedMemberList list = configured({80});
  EXPECT_EQ(dynamic_.merge("app", list), list) << "nothing to add: the same object";
  EXPECT_TRUE(set({{"web", "app", {{9001}, {9002}}}, {"api", "app", {{9003}}}, {"x", "b", {{1}}}}));
  const SharedMemberList three = dynamic_.merge("app", list);
  EXPECT_THAT(names(three),
              ElementsAre("127.0.0.1:80", "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"));
  EXPECT_EQ(three->fixed, 1U);
  EXPECT_EQ(three->entries[0].weight, 5U);
  EXPECT_EQ(three->entries[1].weight, 1U);
  EXPECT_NE(three->entries[1].member->metrics_id, 0U);
  EXPECT_EQ(dynamic_.merge("app", three), three);
  EXPECT_TRUE(set({{"api", "app", {{9003}}}}));
  const SharedMemberList one = dynamic_.merge("app", three);
  EXPECT_THAT(names(one), ElementsAre("127.0.0.1:80", "127.0.0.1:9003"));
  EXPECT_EQ(one->entries[1].member, three->entries[3].member) << "the object stays";
  EXPECT_THAT(names(dynamic_.merge("other", configured({}))), IsEmpty());
  EXPECT_TRUE(set(std::vector<ServiceMembers>{}));
  EXPECT_EQ(*dynamic_.merge("app", one), *list);
}

TEST_F(DynamicMembersTest, TheSameAgainIsNothing) {
  EXPECT_FALSE(set(std::vector<ServiceMembers>{}));
  EXPECT_TRUE(set(Members{{9001}, {9002, true}}));
  EXPECT_FALSE(set(Members{{9001}, {9002, true}}));
  EXPECT_TRUE(set(Members{{9001}, {9002, false}}));
}

TEST_F(DynamicMembersTest, WhatIsNamedTwiceIsThereOnce) {
  EXPECT_TRUE(set(Members{{0}, {80}, {9001}, {9001, true}}));
  const SharedMemberList list = dynamic_.merge("app", configured({80}));
  EXPECT_THAT(names(list), ElementsAre("127.0.0.1:80", "127.0.0.1:9001"));
  EXPECT_EQ(list->entries[0].weight, 5U) << "the configuration's word";
}

TEST_F(DynamicMembersTest, WithoutAPoolTheyAreOnlyProbed) {
  conf::Model model;
  model.services.emplace_back().name = "job";
  model.services[0].health.kind = conf::ProbeKind::http;
  EXPECT_TRUE(set({{"job", "", {{9001}}}, {"new", "app", {{9002}}}}));
  std::vector<health::ProbeTarget> targets;
  dynamic_.add_targets(model, targets);
  ASSERT_EQ(targets.size(), 2U);
  EXPECT_EQ(targets[0].settings.kind, conf::ProbeKind::http);
  EXPECT_EQ(targets[0].member->metrics_id, 0U) << "no series of its own";
  EXPECT_EQ(targets[1].settings.kind, conf::ProbeKind::tcp) << "not in the configuration yet";
  EXPECT_EQ(dynamic_.find(*targets[0].member)->service, "job");
  EXPECT_THAT(names(dynamic_.merge("app", configured({}))), ElementsAre("127.0.0.1:9002"));
}

TEST_F(DynamicMembersTest, DrainingHidesTheVerdictAndGivesItBack) {
  EXPECT_TRUE(set(Members{{9001}}));
  const SharedMemberList before = dynamic_.merge("app", configured({}));
  health::Member& member = *before->entries[0].member;
  probed(member, MemberState::up);
  EXPECT_TRUE(set(Members{{9001, true}}));
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_EQ(changes_[0].from, MemberState::up);
  EXPECT_EQ(changes_[0].to, MemberState::draining);
  EXPECT_FALSE(member.is_selectable());
  const SharedMemberList after = dynamic_.merge("app", before);
  EXPECT_THAT(names(after), ElementsAre("127.0.0.1:9001 draining"));
  EXPECT_EQ(&*after->entries[0].member, &member);
  for (const MemberState verdict : {MemberState::down, MemberState::up, MemberState::down}) {
    probed(member, verdict);
    EXPECT_EQ(member.state.load(), MemberState::draining);
  }
  EXPECT_TRUE(set(Members{{9001}}));
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_EQ(changes_[0].to, MemberState::down);
  EXPECT_EQ(member.state.load(), MemberState::down);
}

// A generation that is being prepared has the service in another pool.
TEST_F(DynamicMembersTest, InTheNextPoolBesideThePresentOne) {
  using View = DynamicMembers::View;
  EXPECT_TRUE(set(Members{{9001}}));
  const SharedMemberList before = dynamic_.merge("app", configured({}));
  const SharedMember old = before->entries[0].member;
  probed(*old, MemberState::up);
  EXPECT_TRUE(set({{"web", "app", {{9001}}, "other"}}));
  EXPECT_EQ(dynamic_.merge("app", before), before) << "nothing happens to what runs";
  EXPECT_THAT(names(dynamic_.merge("app", before, View::next)), IsEmpty());
  const SharedMemberList next = dynamic_.merge("other", configured({}), View::next);
  EXPECT_THAT(names(next), ElementsAre("127.0.0.1:9001"));
  const SharedMember moved = next->entries[0].member;
  EXPECT_NE(moved, old);
  EXPECT_EQ(moved->pool, "other");
  EXPECT_EQ(dynamic_.find(*moved), dynamic_.find(*old));
  conf::Model model;
  std::vector<health::ProbeTarget> targets;
  dynamic_.add_targets(model, targets);
  EXPECT_EQ(targets.size(), 2U) << "both are probed meanwhile";
  // It drains, in both.
  EXPECT_TRUE(set({{"web", "app", {{9001, true}}, "other"}}));
  EXPECT_EQ(old->state.load(), MemberState::draining);
  EXPECT_EQ(moved->state.load(), MemberState::draining);
  EXPECT_TRUE(dynamic_.begin_round(1));
  old->in_flight = 1;
  EXPECT_THAT(drained(1), IsEmpty());
  old->in_flight = 0;
  moved->in_flight = 1;
  EXPECT_THAT(drained(1), IsEmpty());
  // The generation runs: the same object goes on, and the drain does.
  EXPECT_TRUE(set({{"web", "other", {{9001, true}}}}));
  const SharedMemberList after = dynamic_.merge("other", next);
  EXPECT_EQ(after->entries[0].member, moved);
  EXPECT_THAT(names(dynamic_.merge("app", before)), IsEmpty());
  EXPECT_FALSE(dynamic_.begin_round(2)) << "every thread has taken the first one";
  moved->in_flight = 0;
  EXPECT_THAT(drained(1), ElementsAre(9001));
}

// The supervisor's roll must not undo what an operator wants, nor the other way round.
TEST_F(DynamicMembersTest, AnOperatorsWishAndTheSupervisorsAreKeptApart) {
  EXPECT_TRUE(set(Members{{9001}}));
  SharedMemberList list = dynamic_.merge("app", configured({80}));
  health::Member& replica = *list->entries[1].member;
  probed(*list->entries[0].member, MemberState::up);
  probed(replica, MemberState::up);
  const auto ask = [&](const SharedMember& member, health::AdminState state, std::uint32_t weight) {
    ASSERT_TRUE(known_.orders().set("app", member->name, {state, weight, 1, 0}));
    known_.orders().apply(*member);
    member->publish();
    list = dynamic_.merge("app", list);
  };
  ask(list->entries[0].member, health::AdminState::disabled, 0);
  ask(list->entries[1].member, health::AdminState::drained, 3);
  EXPECT_THAT(names(list), ElementsAre("127.0.0.1:80 draining", "127.0.0.1:9001 draining"));
  EXPECT_EQ(list->entries[0].member->state.load(), MemberState::maintenance);
  EXPECT_EQ(list->entries[1].weight, 3U);
  EXPECT_EQ(list->entries[1].configured_weight, 1U);
  EXPECT_EQ(dynamic_.merge("app", list), list) << "the same again is the same object";
  EXPECT_TRUE(set(Members{{9001, true}}));
  EXPECT_THAT(changes_, IsEmpty()) << "it drains already";
  EXPECT_TRUE(set(Members{{9001}}));
  list = dynamic_.merge("app", list);
  EXPECT_EQ(replica.state.load(), MemberState::draining) << "for the operator";
  EXPECT_TRUE(set(Members{{9001, true}}));
  ask(list->entries[1].member, health::AdminState::enabled, 0);
  EXPECT_EQ(replica.state.load(), MemberState::draining) << "for the supervisor";
  EXPECT_THAT(names(list), ElementsAre("127.0.0.1:80 draining", "127.0.0.1:9001 draining"));
  EXPECT_EQ(list->entries[1].weight, 1U);
  EXPECT_TRUE(set(Members{{9001}}));
  ask(list->entries[0].member, health::AdminState::enabled, 8);
  EXPECT_EQ(replica.state.load(), MemberState::up);
  EXPECT_EQ(list->entries[0].weight, 8U);
  EXPECT_EQ(list->entries[0].configured_weight, 5U);
  ask(list->entries[0].member, health::AdminState::enabled, 0);
  EXPECT_EQ(list->entries[0].weight, 5U) << "the configuration's word";
  EXPECT_EQ(list->entries[0].member->state.load(), MemberState::up);
  EXPECT_THAT(names(list), ElementsAre("127.0.0.1:80", "127.0.0.1:9001"));
}

// The port is given to another replica while a tunnel holds the member of the old one.
TEST_F(DynamicMembersTest, OneThatComesBackServes) {
  EXPECT_TRUE(set(Members{{9001, true}}));
  const SharedMemberList held = dynamic_.merge("app", configured({}));
  EXPECT_TRUE(set(Members{}));
  EXPECT_EQ(held->entries[0].member->state.load(), MemberState::draining)
      << "threads that still have the list must not pick it";
  EXPECT_TRUE(set(Members{{9001}}));
  const SharedMemberList again = dynamic_.merge("app", configured({}));
  EXPECT_EQ(again->entries[0].member, held->entries[0].member);
  EXPECT_NE(again->entries[0].member->state.load(), MemberState::draining);
}

TEST_F(DynamicMembersTest, AConfiguredMemberOutlivesItsReplica) {
  EXPECT_TRUE(set(Members{{80, true}}));
  const SharedMemberList draining = dynamic_.merge("app", configured({80}));
  EXPECT_THAT(names(draining), ElementsAre("127.0.0.1:80 draining"));
  probed(*draining->entries[0].member, MemberState::up);
  EXPECT_TRUE(set(Members{}));
  const SharedMemberList after = dynamic_.merge("app", draining);
  EXPECT_THAT(names(after), ElementsAre("127.0.0.1:80"));
  EXPECT_TRUE(after->entries[0].member->is_selectable());
}

TEST_F(DynamicMembersTest, DrainedOnceEveryThreadHasTakenTheRoundAndNothingIsInFlight) {
  EXPECT_TRUE(set(Members{{9001, true}, {9002, true}, {9003}}));
  const SharedMemberList list = dynamic_.merge("app", configured({}));
  list->entries[1].member->in_flight = 2;
  EXPECT_THAT(drained(7), IsEmpty()) << "no round has been given";
  EXPECT_TRUE(dynamic_.begin_round(5));
  EXPECT_FALSE(dynamic_.begin_round(6)) << "nothing new";
  EXPECT_THAT(drained(4), IsEmpty());
  EXPECT_THAT(drained(5), ElementsAre(9001));
  EXPECT_THAT(drained(6), IsEmpty()) << "told once";
  list->entries[1].member->in_flight = 0;
  EXPECT_THAT(drained(6), ElementsAre(9002));
  // Other news leave the drain alone; a new drain is a new one.
  EXPECT_TRUE(set(Members{{9001, true}, {9002}}));
  EXPECT_FALSE(dynamic_.begin_round(7));
  EXPECT_THAT(drained(7), IsEmpty());
  EXPECT_TRUE(set(Members{{9001, true}, {9002, true}}));
  EXPECT_TRUE(dynamic_.begin_round(8));
  EXPECT_THAT(drained(7), IsEmpty());
  EXPECT_THAT(drained(8), ElementsAre(9002));
}

// The number of a member is never written twice: threads read it.
TEST_F(DynamicMembersTest, ForgottenSeriesGiveANewObject) {
  EXPECT_TRUE(set(Members{{9001}}));
  const SharedMember old = dynamic_.merge("app", configured({}))->entries[0].member;
  const std::uint32_t number = old->metrics_id;
  EXPECT_TRUE(set(Members{}));
  metrics_.member_left(number, 0);
  EXPECT_TRUE(metrics_.forget_old(MetricsRegistry::kKeepMs));
  EXPECT_TRUE(set(Members{{9001}}));
  const SharedMember fresh = dynamic_.merge("app", configured({}))->entries[0].member;
  EXPECT_NE(fresh, old);
  EXPECT_NE(fresh->metrics_id, number);
  EXPECT_EQ(old->metrics_id, number);
}

}  // namespace
}  // namespace portunus::proxy
