#include "proxy/recent_codes.h"

#include <gtest/gtest.h>

namespace portunus::proxy {
namespace {

TEST(RecentCodes, TheOldestIsForgotten) {
  const auto code = [](std::size_t number) {
    net::Hmac::Code out{};
    out[0] = static_cast<unsigned char>(number);
    out[1] = static_cast<unsigned char>(number >> 8U);
    return out;
  };
  RecentCodes codes;
  for (std::size_t i = 0; i < RecentCodes::kCodesMax + 2; ++i) {
    codes.add(code(i));
    codes.add(code(i));
  }
  EXPECT_FALSE(codes.has(code(0)));
  EXPECT_FALSE(codes.has(code(1)));
  EXPECT_TRUE(codes.has(code(2)));
  EXPECT_TRUE(codes.has(code(RecentCodes::kCodesMax + 1)));
}

}  // namespace
}  // namespace portunus::proxy
