// Members that discovery has found: in the lists of their pools, held back, and gone.
#include "proxy/discovered_members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/dynamic_members.h"

namespace portunus::proxy {
namespace {

using discovery::Instance;
using discovery::InstanceStatus;
using health::MemberState;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

Instance instance(std::uint16_t port, std::uint32_t weight = 1) {
  Instance made;
  made.name = "127.0.0.1:" + std::to_string(port);
  made.id = "web-" + std::to_string(port);
  made.address = *net::Address::parse_ip("127.0.0.1", port);
  made.weight = weight;
  return made;
}

class DiscoveredMembersTest : public testing::Test {
 protected:
  void tell(std::vector<Instance> instances, const std::string& query = "web") {
    dynamic_.discovered().set(query,
                              std::make_shared<const discovery::Instances>(std::move(instances)));
  }
  SharedMemberList merge(const SharedMemberList& list, const std::string& query = "web") {
    return dynamic_.merge("app", list, DynamicMembers::View::running, query);
  }
  static std::vector<std::string> names(const SharedMemberList& list) {
    std::vector<std::string> all;
    for (const MemberEntry& entry : list->entries)
      all.push_back(entry.member->name + (entry.is_draining ? " draining" : ""));
    return all;
  }
  static void probed(health::Member& member) {
    member.verdict = MemberState::up;
    member.publish();
  }

  MetricsRegistry metrics_;
  MemberRegistry known_{metrics_};
  DynamicMembers dynamic_{known_};
  const SharedMemberList empty_ = std::make_shared<MemberList>();
};

TEST_F(DiscoveredMembersTest, InstancesComeAndGo) {
  EXPECT_EQ(merge(empty_), empty_) << "nothing is known yet";
  tell({instance(9001, 3), instance(9002)});
  const SharedMemberList two = merge(empty_);
  EXPECT_THAT(names(two), ElementsAre("127.0.0.1:9001", "127.0.0.1:9002"));
  EXPECT_EQ(two->fixed, 0U);
  EXPECT_EQ(two->entries[0].weight, 3U);
  EXPECT_EQ(merge(two), two) << "the same again is the same object";
  tell({instance(9002), instance(9003)});
  const SharedMemberList other = merge(two);
  EXPECT_THAT(names(other), ElementsAre("127.0.0.1:9002", "127.0.0.1:9003"));
  EXPECT_EQ(other->entries[0].member, two->entries[1].member) << "the object stays";
  EXPECT_EQ(dynamic_.discovered().find(*two->entries[0].member), nullptr);
  EXPECT_NE(dynamic_.discovered().find(*other->entries[1].member), nullptr);
  tell({});
  EXPECT_THAT(names(merge(other)), IsEmpty());
}

TEST_F(DiscoveredMembersTest, OneThatIsHeldBackDrainsAndComesBack) {
  tell({instance(9001), instance(9002)});
  SharedMemberList list = merge(empty_);
  const SharedMember first = list->entries[0].member;
  probed(*first);
  static_cast<void>(dynamic_.discovered().take_changes());
  Instance critical = instance(9001);
  critical.status = InstanceStatus::critical;
  critical.is_usable = false;
  critical.reason = "disk";
  tell({critical, instance(9002)});
  list = merge(list);
  EXPECT_THAT(names(list), ElementsAre("127.0.0.1:9001 draining", "127.0.0.1:9002"));
  EXPECT_EQ(first->state, MemberState::draining);
  auto changes = dynamic_.discovered().take_changes();
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes[0].from, MemberState::up);
  EXPECT_EQ(changes[0].to, MemberState::draining);
  EXPECT_EQ(changes[0].reason, "Consul: critical (disk)");
  tell({instance(9001), instance(9002)});
  list = merge(list);
  EXPECT_EQ(first->state, MemberState::up);
  changes = dynamic_.discovered().take_changes();
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes[0].reason, "Consul: passing");
}

TEST_F(DiscoveredMembersTest, OneThatLeftWhileItDrainedServesWhenItIsThereAgain) {
  Instance draining = instance(9001);
  draining.is_draining = true;
  tell({draining});
  const SharedMemberList list = merge(empty_);
  const SharedMember member = list->entries[0].member;
  probed(*member);
  EXPECT_EQ(member->state, MemberState::draining);
  tell({});
  const SharedMemberList none = merge(list);
  EXPECT_EQ(member->state, MemberState::draining) << "some threads have the old list yet";
  tell({instance(9001)});
  EXPECT_EQ(merge(none)->entries[0].member, member);
  EXPECT_EQ(member->state, MemberState::up);
}

TEST_F(DiscoveredMembersTest, AConfiguredMemberStaysWhatItIs) {
  auto fixed = std::make_shared<MemberList>();
  fixed->entries.push_back(
      {known_.get("app", "127.0.0.1:9001", *net::Address::parse_ip("127.0.0.1", 9001)), 7, false});
  fixed->fixed = 1;
  Instance held = instance(9001);
  held.is_usable = false;
  tell({held, instance(9002)});
  const SharedMemberList list = merge(fixed);
  EXPECT_THAT(names(list), ElementsAre("127.0.0.1:9001", "127.0.0.1:9002"));
  EXPECT_EQ(list->entries[0].weight, 7U);
  EXPECT_EQ(dynamic_.discovered().find(*list->entries[0].member), nullptr);
}

TEST_F(DiscoveredMembersTest, PoolsShareAQueryAndQueriesEnd) {
  tell({instance(9001)});
  const SharedMemberList app = merge(empty_);
  const SharedMemberList api = dynamic_.merge("api", empty_, DynamicMembers::View::running, "web");
  EXPECT_NE(app->entries[0].member, api->entries[0].member) << "each pool has its own";
  EXPECT_THAT(dynamic_.discovered().members_of(instance(9001)), SizeIs(2));
  dynamic_.discovered().keep_only({"other"});
  EXPECT_THAT(dynamic_.discovered().members_of(instance(9001)), IsEmpty());
  EXPECT_THAT(names(merge(app)), IsEmpty());
}

TEST_F(DiscoveredMembersTest, Reasons) {
  Instance kept = instance(9001);
  EXPECT_EQ(reason_of(kept), "");
  kept.is_kept = true;
  EXPECT_EQ(reason_of(kept), "kept from the last good list");
  kept.status = InstanceStatus::warning;
  EXPECT_EQ(reason_of(kept), "Consul: warning, kept from the last good list");
}

}  // namespace
}  // namespace portunus::proxy
