#include "base/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace portunus::base {
namespace {

struct TagA;
struct Item : ListHook<>, ListHook<TagA> {
  explicit Item(char n) : name(n) {}
  char name;
};
using List = IntrusiveList<Item, void>;
using OtherList = IntrusiveList<Item, TagA>;

template <typename AnyList>
std::string names(AnyList& list) {
  std::string text;
  for (Item* item = list.front(); item != nullptr; item = list.next(*item))
    text += item->name;
  return text;
}

TEST(IntrusiveList, PutsInOrderAndTakesOut) {
  Item a('a');
  Item b('b');
  Item c('c');
  List list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  EXPECT_EQ(list.back(), nullptr);
  EXPECT_EQ(list.pop_front(), nullptr);
  EXPECT_EQ(list.pop_back(), nullptr);
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  EXPECT_EQ(names(list), "abc");
  list.push_back(a);  // moves
  EXPECT_EQ(names(list), "bca");
  EXPECT_EQ(list.pop_back(), &a);
  EXPECT_EQ(list.pop_front(), &b);
  EXPECT_FALSE(static_cast<ListHook<>&>(b).is_linked());
  static_cast<ListHook<>&>(b).unlink();  // nothing to do
  EXPECT_EQ(names(list), "c");
}

TEST(IntrusiveList, AnElementLeavesWhenItDies) {
  List list;
  Item a('a');
  list.push_back(a);
  {
    Item b('b');
    list.push_back(b);
    Item c('c');
    list.push_back(c);
    EXPECT_EQ(names(list), "abc");
  }
  EXPECT_EQ(names(list), "a");
}

TEST(IntrusiveList, AListThatDiesLetsItsElementsGo) {
  Item a('a');
  {
    List list;
    list.push_back(a);
  }
  EXPECT_FALSE(static_cast<ListHook<>&>(a).is_linked());
}

TEST(IntrusiveList, OneElementInTwoLists) {
  Item a('a');
  Item b('b');
  List list;
  OtherList other;
  list.push_back(a);
  list.push_back(b);
  other.push_back(b);
  other.push_back(a);
  EXPECT_EQ(names(list), "ab");
  EXPECT_EQ(names(other), "ba");
  list.clear();
  EXPECT_EQ(names(other), "ba");
}

TEST(IntrusiveList, TakesAllOfAnother) {
  Item a('a');
  Item b('b');
  Item c('c');
  List list;
  List other;
  list.take_all(other);
  EXPECT_TRUE(list.empty());
  other.push_back(b);
  other.push_back(c);
  list.take_all(other);
  EXPECT_EQ(names(list), "bc");
  EXPECT_TRUE(other.empty());
  other.push_back(a);
  list.take_all(other);
  EXPECT_EQ(names(list), "bca");
  EXPECT_EQ(list.back(), &a);
}

}  // namespace
}  // namespace portunus::base
