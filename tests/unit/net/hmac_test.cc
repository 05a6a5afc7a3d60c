#include "net/hmac.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/allocations.h"

namespace portunus::net {
namespace {

std::string hex(const Hmac::Code& code) {
  std::string out;
  for (const unsigned char byte : code) {
    out += "0123456789abcdef"[byte >> 4U];
    out += "0123456789abcdef"[byte & 15U];
  }
  return out;
}

std::vector<unsigned char> bytes(std::size_t count, unsigned char value) {
  return std::vector<unsigned char>(count, value);
}

std::vector<unsigned char> bytes(const std::string& text) {
  return {text.begin(), text.end()};
}

// RFC 4231 section 4: cases 1, 2, 6 and 7.
TEST(Hmac, IsThatOfTheTestCases) {
  EXPECT_EQ(hex(Hmac(bytes(20, 0x0b)).of("Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(Hmac(bytes("Jefe")).of("what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  Hmac long_key(bytes(131, 0xaa));
  EXPECT_EQ(hex(long_key.of("Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(hex(long_key.of("This is a test using a larger than block-size key and a larger than "
                            "block-size data. The key needs to be hashed before being used by the "
                            "HMAC algorithm.")),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(Hmac, TakesNoMemoryForAMessage) {
  Hmac key(bytes(32, 1));
  const Hmac::Code first = key.of("first");
  const std::size_t before = test::heap_count();
  for (int i = 0; i < 100; ++i)
    EXPECT_NE(key.of("another"), first);
  EXPECT_EQ(test::heap_count(), before);
}

TEST(Hmac, CodesAreComparedWhole) {
  const Hmac::Code code = Hmac(bytes(32, 1)).of("x");
  for (std::size_t i = 0; i < code.size(); ++i) {
    Hmac::Code other = code;
    EXPECT_TRUE(is_same_code(code, other));
    other[i] ^= 1U;
    EXPECT_FALSE(is_same_code(code, other)) << i;
  }
  EXPECT_FALSE(is_same_code(code, std::span(code).first(31)));
}

}  // namespace
}  // namespace portunus::net
