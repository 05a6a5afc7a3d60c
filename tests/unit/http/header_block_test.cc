#include "http/header_block.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::http {
namespace {

std::string text_of(const HeaderBlock& block) {
  std::string text;
  for (std::size_t i = 0; i < block.size(); ++i) {
    if (block.is_removed(i)) continue;
    text += std::string(block.field(i).name()) + "=" + std::string(block.field(i).value()) + ";";
  }
  return text;
}

TEST(HeaderBlock, FindsByIdAndByName) {
  HeaderBlock block;
  EXPECT_EQ(block.find(HeaderId::host), HeaderBlock::kNone);
  EXPECT_TRUE(block.add("host", "a"));
  EXPECT_TRUE(block.add("x-own", "1"));
  EXPECT_TRUE(block.add("accept", "b"));
  EXPECT_TRUE(block.add("x-other", "2"));
  EXPECT_TRUE(block.add("x-own", "3"));
  EXPECT_TRUE(block.add(HeaderId::accept, "c"));
  EXPECT_EQ(block.id(0), HeaderId::host);  // known names are interned
  EXPECT_EQ(block.id(1), HeaderId::other);
  EXPECT_TRUE(block.has(HeaderId::accept));
  EXPECT_EQ(block.value_of(HeaderId::accept), "b");
  EXPECT_EQ(block.value_of(HeaderId::cookie), "");
  EXPECT_EQ(block.count(HeaderId::accept), 2U);
  EXPECT_EQ(block.find("x-own"), 1U);
  EXPECT_EQ(block.find("x-own", 2), 4U);
  EXPECT_EQ(block.find("x-own", 5), HeaderBlock::kNone);
  EXPECT_EQ(block.find("accept", 3), 5U);
  EXPECT_EQ(block.find("x-ow"), HeaderBlock::kNone);
}

TEST(HeaderBlock, RemovesAndSets) {
  HeaderBlock block;
  for (const char* name : {"host", "x-own", "accept", "x-own", "x-other"})
    block.add(name, "v");
  block.remove("x-own");
  EXPECT_EQ(text_of(block), "host=v;accept=v;x-other=v;");
  EXPECT_EQ(block.find("x-own"), HeaderBlock::kNone);
  block.remove(HeaderId::cookie);
  EXPECT_TRUE(block.set(HeaderId::accept, "w"));
  EXPECT_TRUE(block.set("x-other", "w"));
  EXPECT_TRUE(block.set("x-new", "w"));
  EXPECT_EQ(text_of(block), "host=v;accept=w;x-other=w;x-new=w;");
  block.set_value(block.find(HeaderId::host), "h");
  EXPECT_EQ(block.value_of(HeaderId::host), "h");
  block.clear();
  EXPECT_EQ(block.size(), 0U);
  EXPECT_FALSE(block.has(HeaderId::host));
}

TEST(HeaderBlock, HasABound) {
  HeaderBlock block;
  for (std::size_t i = 0; i < HeaderBlock::kCapacity; ++i)
    ASSERT_TRUE(block.add("x", "y"));
  EXPECT_FALSE(block.add("x", "y"));
  EXPECT_EQ(block.size(), HeaderBlock::kCapacity);
}

TEST(HeaderBlock, AssignsACopyOfItsOwn) {
  HeaderBlock block;
  block.add("host", "a");
  block.add("x-own", "b");
  HeaderBlock copy;
  copy.add("accept", "gone");
  copy.assign(block);
  block.remove(HeaderId::host);
  EXPECT_EQ(text_of(copy), "host=a;x-own=b;");
}

}  // namespace
}  // namespace portunus::http
