#include "net/ticket_keys.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace portunus::net {
namespace {

TEST(TicketKeys, TheNewestMakesTicketsAndTheOnesBeforeReadThem) {
  TicketKeys keys;
  std::vector<TicketKey> made{*keys.newest()};
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(keys.rotate());
    made.push_back(*keys.newest());
    EXPECT_NE(made.back().name, made[made.size() - 2].name);
    for (std::size_t age = 0; age < made.size(); ++age) {
      const TicketKey& known = made[made.size() - 1 - age];
      const auto found = keys.find(known.name);
      ASSERT_EQ(found.has_value(), age < TicketKeys::kReaders) << age;
      if (!found) continue;
      EXPECT_EQ(found->is_newest, age == 0);
      EXPECT_EQ(found->key.cipher, known.cipher);
      EXPECT_EQ(found->key.mac, known.mac);
    }
  }
}

TEST(TicketKeys, NobodyHasTheNameOfAWipedKey) {
  TicketKeys keys;
  EXPECT_FALSE(keys.find(TicketKey{}.name).has_value());
  keys.rotate();
  keys.rotate();
  keys.rotate();
  EXPECT_FALSE(keys.find(TicketKey{}.name).has_value());
}

TEST(TicketKeys, AreReadWhileTheyRotate) {
  TicketKeys keys;
  std::atomic<bool> is_over{false};
  std::vector<std::thread> readers;
  std::atomic<int> mixed{0};
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!is_over) {
        const auto key = keys.newest();
        const auto found = keys.find(key->name);
        // Rotated away meanwhile, or the very same.
        if (found && found->key.cipher != key->cipher) ++mixed;
      }
    });
  }
  for (int i = 0; i < 2000; ++i)
    keys.rotate();
  is_over = true;
  for (std::thread& each : readers)
    each.join();
  EXPECT_EQ(mixed, 0);
}

}  // namespace
}  // namespace portunus::net
