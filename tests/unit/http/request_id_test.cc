#include "http/request_id.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <set>
#include <string>
#include <thread>

namespace portunus::http {
namespace {

TEST(RequestId, IsUniqueHexOnEveryThread) {
  constexpr int kEach = 2000;
  std::array<std::array<std::string, kEach>, 2> made;
  const auto make = [](std::array<std::string, kEach>& out) {
    for (std::string& id : out) {
      id.resize(kRequestIdSize);
      write_request_id(id.data());
    }
  };
  std::thread other(make, std::ref(made[1]));
  make(made[0]);
  other.join();
  std::set<std::string> all;
  std::array<std::set<char>, kRequestIdSize> digits;
  for (const auto& half : made) {
    for (const std::string& id : half) {
      EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
      EXPECT_TRUE(is_request_id(id));
      EXPECT_TRUE(all.insert(id).second);
      for (std::size_t i = 0; i < id.size(); ++i)
        digits[i].insert(id[i]);
    }
  }
  for (const auto& seen : digits)
    EXPECT_EQ(seen.size(), 16u);
}

TEST(RequestId, OfATrustedPeer) {
  EXPECT_TRUE(is_request_id("a"));
  EXPECT_TRUE(is_request_id("Root=1-67891233-abcdef012345678912345678"));
  EXPECT_TRUE(is_request_id(std::string(128, 'x')));
  EXPECT_FALSE(is_request_id(std::string(129, 'x')));
  for (const char* bad : {"", "a b", "a\"", "a\\", "a,b", "a;b", "<a>", "a\n", "\x80"}) {
    EXPECT_FALSE(is_request_id(bad)) << bad;
  }
}

}  // namespace
}  // namespace portunus::http
