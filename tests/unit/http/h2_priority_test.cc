#include "http/h2_priority.h"

#include <gtest/gtest.h>

namespace portunus::http {
namespace {

TEST(H2Priority, Fields) {
  struct Row {
    std::string_view field;
    H2Priority wanted;
  };
  const Row rows[]{
      {"", {3, false}},
      {"u=0", {0, false}},
      {"u=7, i", {7, true}},
      {"i,u=1", {1, true}},
      {"i=?1", {3, true}},
      {"i=?0", {3, false}},
      {"u=2;x=1, i;y", {2, true}},
      {" u=5 ,  i ", {5, true}},
      {"u=1,u=4", {4, false}},
      // What is no priority changes nothing.
      {"u=8", {3, false}},
      {"u=-1", {3, false}},
      {"u=1.5", {3, false}},
      {"u", {3, false}},
      {"U=1", {3, false}},
      {"i=1", {3, false}},
      {"x=u=1", {3, false}},
      {";;,,", {3, false}},
      {"u=1 2", {3, false}},
  };
  for (const Row& row : rows)
    EXPECT_EQ(read_priority(row.field, {}), row.wanted) << row.field;
}

TEST(H2Priority, WhatIsNotSaidStays) {
  EXPECT_EQ(read_priority("u=1", {6, true}), (H2Priority{1, true}));
  EXPECT_EQ(read_priority("i=?0", {6, true}), (H2Priority{6, false}));
}

}  // namespace
}  // namespace portunus::http
