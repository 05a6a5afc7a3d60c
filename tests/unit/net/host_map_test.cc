#include "net/host_map.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::net {
namespace {

TEST(HostMap, ExactNamesGoBeforeWildcards) {
  HostMap map;
  EXPECT_TRUE(map.add("a.example", 1));
  EXPECT_TRUE(map.add("*.example", 2));
  EXPECT_FALSE(map.add("a.example", 3)) << "the first one counts";
  EXPECT_EQ(map.size(), 2U);
  EXPECT_EQ(map.find("a.example"), 1U);
  EXPECT_EQ(map.find("A.Example."), 1U);
  EXPECT_EQ(map.find("b.example"), 2U);
  for (const char* none : {"", ".", "example", ".example", "a.b.example", "*", "a.example.."})
    EXPECT_EQ(map.find(none), HostMap::kNone) << none;
  EXPECT_EQ(map.find(std::string(300, 'a') + ".example"), HostMap::kNone);
}

}  // namespace
}  // namespace portunus::net
