#include "conf/password_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace portunus::conf {
namespace {

TEST(PasswordHash, WhatIsGoodEnough) {
  for (const char* hash : {
           "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy",
           "$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy",
           "$y$j75$abcdefghijklmnopqrstu0$faVqcJSo/Ritrmb07J3jGP.2ioGint9WmVqwwxHghj2",
           "$6$rounds=1000$abcdefgh$Xh.7.kL3HzhnviFlsn40n4gUrDaYioIIiDlHiWZorP18.1JsnixO1BkqKbso/"
           "o60j4iwJz6yRdVGlrUTIYtXT/",
       })
    EXPECT_EQ(password_hash_fault(hash), "") << hash;
}

TEST(PasswordHash, WhatIsNot) {
  struct Row {
    const char* hash;
    const char* fault;
  };
  const Row rows[] = {
      {"open sesame", "no hash"},
      {"*", "no hash"},
      {"", "no hash"},
      {"{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", "no hash"},
      {"$apr1$abcdefgh$0123456789012345678901", "no hash"},
      {"$1$abcdefgh$znAnv9M.XU2pRYfmSs46h/", "easily guessed"},
      {"abJnggxhB/yWI", "easily guessed"},
      {"$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/c", "60 characters"},
      {"$2b$15$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy", "too long to check"},
      {"$6$rounds=1000001$abcdefgh$Xh.7.kL3HzhnviFlsn40n4gUrDaYioIIiDlHiWZorP18",
       "too long to check"},
  };
  for (const Row& row : rows)
    EXPECT_NE(password_hash_fault(row.hash).find(row.fault), std::string::npos)
        << row.hash << ": " << password_hash_fault(row.hash);
}

TEST(PasswordHash, EachHasASaltOfItsOwn) {
  const auto first = hash_password("open sesame");
  const auto second = hash_password("open sesame");
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(password_hash_fault(*first), "");
  EXPECT_TRUE(first->starts_with("$2b$10$"));
}

TEST(PasswordHash, WhatHasNone) {
  EXPECT_FALSE(hash_password(""));
  EXPECT_FALSE(hash_password(std::string(73, 'x')));
  EXPECT_FALSE(hash_password(std::string("a\0b", 3)));
  EXPECT_TRUE(hash_password(std::string(72, 'x')));
}

}  // namespace
}  // namespace portunus::conf
