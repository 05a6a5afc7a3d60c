// What is known of members as a text: it comes back as it was, and anything else is refused.
#include "proxy/member_memory.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>

#include <fmt/format.h>

#include "base/hash.h"

namespace portunus::proxy {
namespace {

using health::AdminState;

constexpr std::size_t kLarge = std::size_t{1} << 20;

MemberMemory sample() {
  MemberMemory memory;
  memory.health.push_back({"web", "a:1", "127.0.0.1:1", true, 17, "first probe succeeded", 0});
  memory.health.push_back(
      {"web", "b\"\n:1", "127.0.0.1:2", false, 18, "status 503 \xff \x01", 4'000'000'000, true});
  memory.health.push_back({"web", "c:1", "127.0.0.1:3", true, 17, "", 0});
  memory.health.back().held = health::Held{false, 3, 20, 21, "5 failures \xff"};
  memory.orders.push_back({"web", "a:1", {AdminState::drained, 7, 19, 0}});
  memory.orders.push_back({"api", "c:1", {AdminState::disabled, 0, 20, 21}});
  memory.orders.push_back({"api", "d:1", {AdminState::enabled, 1000, 22, 0}});
  return memory;
}

TEST(MemberMemory, ComesBackAsItWas) {
  const MemberMemory memory = sample();
  const auto read = decode_memory(encode(memory, kLarge));
  ASSERT_TRUE(read) << read.error();
  ASSERT_EQ(read->orders.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read->orders[i].pool, memory.orders[i].pool);
    EXPECT_EQ(read->orders[i].name, memory.orders[i].name);
    EXPECT_EQ(read->orders[i].order, memory.orders[i].order);
  }
  ASSERT_EQ(read->health.size(), 3U);
  EXPECT_EQ(read->health[2], memory.health[0]) << "those that are down, or out, come first";
  EXPECT_EQ(read->health[1].held, (health::Held{false, 3, 20, 21, "5 failures \xEF\xBF\xBD"}));
  EXPECT_EQ(read->health[0].name, memory.health[1].name);
  EXPECT_EQ(read->health[0].life, 4'000'000'000U);
  EXPECT_TRUE(read->health[0].was_up);
  EXPECT_EQ(read->health[0].reason, "status 503 \xEF\xBF\xBD \x01") << "valid UTF-8";
  EXPECT_TRUE(decode_memory(encode({}, kLarge))) << "nothing is something";
}

TEST(MemberMemory, IsBoundedAndKeepsWhatIsWorthMost) {
  MemberMemory memory = sample();
  for (int i = 0; i < 1'000; ++i)
    memory.health.push_back({"web", std::to_string(i), "127.0.0.1:1", true, 17, "x", 0});
  memory.health.push_back({"web", "down", "127.0.0.1:1", false, 17, std::string(100'000, 'x'), 0});
  const std::string text = encode(memory, 8'000);
  EXPECT_LE(text.size(), 8'000U);
  EXPECT_GT(text.size(), 7'500U);
  const auto read = decode_memory(text);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->orders.size(), 3U);
  EXPECT_EQ(read->health.at(2).name, "down");
  EXPECT_LT(read->health[2].reason.size(), 1'000U);
  EXPECT_GT(read->health.size(), 20U);
  EXPECT_TRUE(decode_memory(encode(memory, 200)));
  EXPECT_TRUE(decode_memory(encode(memory, 0)));
}

TEST(MemberMemory, AnythingElseIsRefused) {
  const std::string text = encode(sample(), kLarge);
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_FALSE(decode_memory(text.substr(0, size))) << size;
  EXPECT_FALSE(decode_memory(text + "x"));
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string other = text;
    other[at] = static_cast<char>(other[at] ^ 1);
    EXPECT_FALSE(decode_memory(other)) << at;
  }
  EXPECT_FALSE(decode_memory("")) << "empty";
  EXPECT_FALSE(decode_memory(std::string(100'000, '\0')));
  EXPECT_FALSE(decode_memory("portunus-members 2 0 0000000000000000\n"));
  EXPECT_FALSE(decode_memory("portunus-members 1 -1 0\n"));
}

// By a later version, perhaps.
TEST(MemberMemory, WhatItDoesNotKnowOfWhoHoldsAMemberIsNothing) {
  MemberMemory memory;
  memory.health.push_back({"web", "c:1", "127.0.0.1:3", true, 17, "", 0});
  memory.health.back().held = health::Held{true, 0, 20, 21, "x"};
  std::string text = encode(memory, kLarge);
  const auto read = decode_memory(text);
  ASSERT_TRUE(read && read->health.at(0).held);
  EXPECT_TRUE(read->health[0].held->is_breaker);

  const auto with = [&](const std::string& from, const std::string& to) {
    std::string lines = text.substr(text.find('\n') + 1);
    lines.replace(lines.find(from), from.size(), to);
    return decode_memory("portunus-members 1 " + std::to_string(lines.size()) + " " +
                         fmt::format("{:016x}", base::stable_hash(lines)) + "\n" + lines);
  };
  const auto other = with("breaker", "weather");
  ASSERT_TRUE(other) << other.error();
  EXPECT_FALSE(other->health.at(0).held);
  EXPECT_FALSE(with("\"until\":21", "\"until\":\"x\""));
  EXPECT_FALSE(with("\"why\":\"x\"", "\"why\":7"));
}

TEST(MemberMemory, ASealedFileIsReadWhereverItStands) {
  const std::string text = encode(sample(), kLarge);
  const int file = make_sealed_file(text);
  ASSERT_GE(file, 0);
  EXPECT_LT(::write(file, "x", 1), 0) << "nobody can change it";
  EXPECT_LT(::ftruncate(file, 0), 0);
  for (int i = 0; i < 2; ++i) {
    const auto kept = read_kept(file, kLarge);
    ASSERT_TRUE(kept) << kept.error();
    EXPECT_EQ(kept->text, text);
    EXPECT_GT(kept->changed_us, 1'600'000'000'000'000U);
  }
  EXPECT_FALSE(read_kept(file, text.size() - 1)) << "too large";
  EXPECT_TRUE(read_kept(file, text.size()));
  // The supervisor says by this that it still holds.
  const std::array<timespec, 2> then{{{1'000, 0}, {1'000, 5'000}}};
  ASSERT_EQ(::futimens(file, then.data()), 0);
  EXPECT_EQ(read_kept(file, kLarge)->changed_us, 1'000'000'005U);
  ::close(file);
  EXPECT_FALSE(read_kept(file, kLarge)) << "closed";
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  EXPECT_FALSE(read_kept(pipe[0], kLarge)) << "it would wait";
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace portunus::proxy
