// What operators have asked of members: kept by name, bounded, forgotten when nobody has seen the
// member for long.
#include "proxy/member_orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "proxy/member_registry.h"

namespace portunus::proxy {
namespace {

using health::AdminState;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kNow = 1'700'000'000'000'000;

net::Address here(std::uint16_t port) {
  return *net::Address::parse_ip("127.0.0.1", port);
}

TEST(MemberOrders, ANewObjectGetsWhatIsAskedOfItsName) {
  MetricsRegistry metrics;
  MemberRegistry known(metrics);
  EXPECT_TRUE(known.orders().set("app", "a:1", {AdminState::drained, 7, kNow, 0}));
  const SharedMember member = known.get("app", "a:1", here(1));
  EXPECT_EQ(member->admin, AdminState::drained);
  EXPECT_EQ(member->admin_weight, 7U);
  EXPECT_EQ(known.get("app", "b:1", here(1))->admin, AdminState::enabled);
  EXPECT_EQ(known.get("other", "a:1", here(1))->admin, AdminState::enabled);
  // It goes, and one of that name comes back, at another address even.
  EXPECT_EQ(known.get("app", "a:1", here(2))->admin, AdminState::drained);
}

TEST(MemberOrders, TheDefaultIsForgotten) {
  MemberOrders orders;
  EXPECT_TRUE(orders.set("app", "a:1", {AdminState::disabled, 0, kNow, 0}));
  EXPECT_EQ(orders.find("app", "a:1").state, AdminState::disabled);
  EXPECT_THAT(orders.all(), SizeIs(1));
  EXPECT_TRUE(orders.set("app", "a:1", {AdminState::enabled, 3, kNow, 0}));
  EXPECT_THAT(orders.all(), SizeIs(1)) << "the weight holds";
  EXPECT_TRUE(orders.set("app", "a:1", {AdminState::enabled, 0, kNow, 0}));
  EXPECT_THAT(orders.all(), IsEmpty());
  EXPECT_EQ(orders.find("app", "a:1"), MemberOrder{});
}

TEST(MemberOrders, ThereAreNotAnyNumberOfThem) {
  MemberOrders orders;
  const MemberOrder drained{AdminState::drained, 0, kNow, 0};
  for (std::size_t i = 0; i < MemberOrders::kMax; ++i)
    ASSERT_TRUE(orders.set("app", std::to_string(i), drained));
  EXPECT_FALSE(orders.set("app", "more", drained));
  EXPECT_TRUE(orders.set("app", "1", {AdminState::disabled, 0, kNow, 0})) << "it is known";
  EXPECT_TRUE(orders.set("app", "2", {}));
  EXPECT_TRUE(orders.set("app", "more", drained)) << "there is room again";
}

TEST(MemberOrders, OneWithoutAMemberIsForgottenInTheEnd) {
  MetricsRegistry metrics;
  MemberRegistry known(metrics);
  MemberOrders& orders = known.orders();
  ASSERT_TRUE(orders.set("app", "a:1", {AdminState::drained, 0, kNow, 0}));
  ASSERT_TRUE(orders.set("app", "b:1", {AdminState::enabled, 5, kNow, 0}));
  const auto list = std::make_shared<MemberList>();
  list->entries.push_back({known.get("app", "a:1", here(1)), 1, false});
  const std::vector<SharedMemberList> lists{list};
  orders.note_present(lists, kNow);
  EXPECT_EQ(orders.find("app", "a:1").gone_us, 0U);
  EXPECT_EQ(orders.find("app", "b:1").gone_us, kNow);
  orders.note_present(lists, kNow + MemberOrders::kGoneMaxUs);
  EXPECT_EQ(orders.find("app", "b:1").gone_us, kNow) << "since then, and not yet too long";
  orders.note_present(lists, kNow + MemberOrders::kGoneMaxUs + 1);
  EXPECT_EQ(orders.find("app", "b:1"), MemberOrder{});
  EXPECT_EQ(orders.find("app", "a:1").state, AdminState::drained) << "however long";
  // One that comes back in time counts from the start.
  orders.note_present({}, kNow);
  EXPECT_EQ(orders.find("app", "a:1").gone_us, kNow);
  orders.note_present(lists, kNow + 1);
  EXPECT_EQ(orders.find("app", "a:1").gone_us, 0U);
}

}  // namespace
}  // namespace portunus::proxy
