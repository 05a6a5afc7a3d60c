// The character classes and small productions of RFC 9110 section 5.6 that several files need:
// tokens, field values, optional white space, lists. Pure functions over bytes; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace portunus::http {

enum CharClass : std::uint8_t {
  kTokenChar = 1,       // RFC 9110 section 5.6.2
  kUnreservedChar = 2,  // RFC 3986 section 2.3
  kHostChar =
      4,  // unreserved and sub-delims but ',', RFC 3986 section 3.2.2; '%' is looked at apart
  kPlainPathChar = 8,  // graphic ASCII but '%', '\', '#', '?': needs no normalisation by itself
  kQueryChar = 16,     // graphic ASCII but '#'
  kUpperChar = 32,     // 'A' to 'Z'
  kFoldedChar = 64,    // '_' and '.', which some servers read as '-' in field names
};

inline constexpr std::array<std::uint8_t, 256> kCharClasses = [] {
  std::array<std::uint8_t, 256> classes{};
  const auto mark = [&classes](std::string_view chars, std::uint8_t as) {
    for (const char c : chars)
      classes[static_cast<unsigned char>(c)] |= as;
  };
  for (unsigned c = 0x21; c < 0x7f; ++c) {
    const bool is_alnum =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_alnum) classes[c] |= kTokenChar | kUnreservedChar | kHostChar;
    if (c != '%' && c != '\\' && c != '#' && c != '?') classes[c] |= kPlainPathChar;
    if (c != '#') classes[c] |= kQueryChar;
    if (c >= 'A' && c <= 'Z') classes[c] |= kUpperChar;
    if (c == '_' || c == '.') classes[c] |= kFoldedChar;
  }
  mark("!#$%&'*+-.^_`|~", kTokenChar);
  mark("-._~", kUnreservedChar | kHostChar);
  // No comma: it is what a recipient makes of two Host fields.
  mark("!$&'()*+;=", kHostChar);
  return classes;
}();

[[nodiscard]] inline std::uint8_t class_of(char c) {
  return kCharClasses[static_cast<unsigned char>(c)];
}
[[nodiscard]] inline bool is_in(char c, CharClass of) {
  return (class_of(c) & of) != 0;
}
[[nodiscard]] inline bool is_all(std::string_view text, CharClass of) {
  for (const char c : text) {
    if (!is_in(c, of)) return false;
  }
  return true;
}
[[nodiscard]] inline bool is_token(std::string_view text) {
  return !text.empty() && is_all(text, kTokenChar);
}

[[nodiscard]] constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}
[[nodiscard]] constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
// 0 to 15, or -1.
[[nodiscard]] constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// `lower` is in lower case.
[[nodiscard]] inline bool is_same_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (to_lower(text[i]) != lower[i]) return false;
  }
  return true;
}

[[nodiscard]] inline std::string_view trim_ows(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

// Whether a byte may stand in a field value: no control character but HTAB; obs-text is allowed.
[[nodiscard]] inline bool is_value_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}
[[nodiscard]] inline bool is_field_value(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const auto may_be_bad = [](const char* at) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof(word));
    const std::uint64_t del = word ^ (kOnes * 0x7f);
    const std::uint64_t below_space = (word - kOnes * 0x20) & ~word;
    return ((below_space | ((del - kOnes) & ~del)) & kHigh) != 0;
  };
  if (text.size() >= 8) {
    const char* at = text.data();
    const char* const last = at + text.size() - 8;  // overlaps the word before it
    while (at < last && !may_be_bad(at))
      at += 8;
    if (at >= last && !may_be_bad(last)) return true;
  }
  for (const char c : text) {  // short, or perhaps only a tab
    if (!is_value_char(c)) return false;
  }
  return true;
}

// Takes the next element of a comma-separated list off `rest`, trimmed; empty elements are skipped
// (RFC 9110 section 5.6.1.2). An empty view at the end. Not for lists with quoted strings.
[[nodiscard]] inline std::string_view next_element(std::string_view& rest) {
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view element = trim_ows(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    if (!element.empty()) return element;
  }
  return {};
}

}  // namespace portunus::http
