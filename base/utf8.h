// Recognises one UTF-8 sequence (RFC 3629: no overlong forms, no surrogates, nothing above
// U+10FFFF). For text that leaves the program in logs and JSON. Any thread.
#pragma once

#include <cstddef>

namespace portunus::base {

// The bytes of the sequence at `at` (before `end`), 1 to 4; 0 when it is not UTF-8.
[[nodiscard]] constexpr std::size_t utf8_length(const char* at, const char* end) {
  const auto byte = [at](std::size_t i) {
    return static_cast<unsigned char>(at[i]);
  };
  const auto is_tail = [&byte](std::size_t i) {
    return (byte(i) & 0xc0) == 0x80;
  };
  const auto left = static_cast<std::size_t>(end - at);
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return left >= 2 && is_tail(1) ? 2 : 0;
  if (first < 0xf0) {
    if (left < 3 || !is_tail(1) || !is_tail(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) >= 0xa0) return 0;
    return 3;
  }
  if (first > 0xf4 || left < 4 || !is_tail(1) || !is_tail(2) || !is_tail(3)) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return 4;
}

// U+0080 to U+009F, which terminals obey: two bytes, the second below 0xa0.
[[nodiscard]] constexpr bool is_c1_control(const char* at, std::size_t length) {
  return length == 2 && static_cast<unsigned char>(at[0]) == 0xc2 &&
         static_cast<unsigned char>(at[1]) < 0xa0;
}

}  // namespace portunus::base
