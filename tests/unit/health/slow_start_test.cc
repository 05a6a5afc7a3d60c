// Slow start, on a clock of the test.
#include "health/slow_start.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace portunus::health {
namespace {

constexpr std::uint64_t kLength = 30'000;

class SlowStart : public testing::Test {
 protected:
  Member& add(std::uint64_t up_since_ms, bool is_backup = false) {
    Member& member = members_.emplace_back("web", std::to_string(members_.size()), net::Address());
    member.state = MemberState::up;
    all_.push_back({&member, up_since_ms, is_backup});
    return member;
  }
  bool look(std::uint64_t now_ms, std::uint64_t length_ms = kLength) {
    return set_shares(all_, length_ms, now_ms);
  }
  static double share(const Member& member) {
    return static_cast<double>(member.share.load()) / kFullShare;
  }

  std::deque<Member> members_;
  std::vector<SlowStarter> all_;
};

TEST_F(SlowStart, GrowsFromATenthEvenly) {
  EXPECT_DOUBLE_EQ(own_share(1'000, kLength, 1'000), 0.1);
  EXPECT_DOUBLE_EQ(own_share(1'000, kLength, 16'000), 0.55);
  EXPECT_DOUBLE_EQ(own_share(1'000, kLength, 31'000), 1);
  EXPECT_DOUBLE_EQ(own_share(1'000, kLength, 1'000'000), 1);
  EXPECT_DOUBLE_EQ(own_share(1'000, kLength, 0), 0.1) << "not before it began";
  EXPECT_DOUBLE_EQ(own_share(1'000, 0, 1'000), 1);
}

TEST_F(SlowStart, WhoComesBackBesideOthersIsSpared) {
  const Member& old = add(0);
  const Member& back = add(100'000);
  EXPECT_TRUE(look(100'000));
  EXPECT_EQ(old.share, kFullShare);
  EXPECT_NEAR(share(back), 0.1, 0.001);
  double before = 0;
  for (std::uint64_t now = 100'000; now < 130'000; now += 200) {
    EXPECT_TRUE(look(now));
    EXPECT_GT(share(back), before);
    before = share(back);
  }
  EXPECT_FALSE(look(130'000)) << "nothing is left to do";
  EXPECT_EQ(back.share, kFullShare);
}

TEST_F(SlowStart, AllAtOnceIsNoSlowStart) {
  const Member& a = add(1'000);
  const Member& b = add(1'000);
  const Member& late = add(1'300);
  look(1'300);
  EXPECT_EQ(a.share, kFullShare);
  EXPECT_EQ(b.share, kFullShare);
  EXPECT_GT(share(late), 0.9);
  // The first one leaves: the others go on without a jump for those that are left.
  members_[0].state = MemberState::down;
  look(1'400);
  EXPECT_EQ(b.share, kFullShare);
  EXPECT_NEAR(share(members_[0]), 0.1, 0.001) << "with which it comes back";
}

TEST_F(SlowStart, TheLastOneHasItAll) {
  Member& old = add(0);
  const Member& back = add(100'000);
  look(101'000);
  EXPECT_LT(share(back), 0.2);
  old.state = MemberState::draining;
  EXPECT_FALSE(look(101'000));
  EXPECT_EQ(back.share, kFullShare);
}

TEST_F(SlowStart, BackupsAreMeasuredByBackups) {
  add(0);
  const Member& backup = add(100'000, true);
  EXPECT_FALSE(look(100'000));
  EXPECT_EQ(backup.share, kFullShare);
}

TEST_F(SlowStart, OffGivesEverybodyAll) {
  add(0);
  const Member& back = add(100'000);
  const Member& down = add(100'000);
  members_[2].state = MemberState::down;
  look(100'000);
  EXPECT_LT(share(back), 1);
  EXPECT_FALSE(look(100'000, 0));
  EXPECT_EQ(back.share, kFullShare);
  EXPECT_EQ(down.share, kFullShare);
}

}  // namespace
}  // namespace portunus::health
