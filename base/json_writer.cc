#include "base/json_writer.h"

#include <array>
#include <charconv>

#include "base/utf8.h"

namespace portunus::base {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::size_t kNumberMax = 20;
constexpr char kHex[] = "0123456789abcdef";

// Printable ASCII that stands for itself inside a string.
constexpr std::array<bool, 256> kIsPlain = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < 0x7f; ++c)
    table[c] = c != '"' && c != '\\';
  return table;
}();

// Eight bytes at once: whether all of them are plain.
bool are_plain(const char* at) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  const auto has_zero = [](std::uint64_t x) {
    return (x - kOnes) & ~x & kHigh;
  };
  return ((word & kHigh) | ((word - kOnes * 0x20) & ~word & kHigh) | has_zero(word ^ kOnes * '"') |
          has_zero(word ^ kOnes * '\\') | has_zero(word ^ kOnes * 0x7f)) == 0;
}

const char* end_of_plain(const char* at, const char* end) {
  while (end - at >= 8 && are_plain(at))
    at += 8;
  while (at < end && kIsPlain[static_cast<unsigned char>(*at)])
    ++at;
  return at;
}

}  // namespace

void JsonWriter::open(char bracket) {
  separate();
  raw({&bracket, 1});
  needs_comma_ = false;
}

void JsonWriter::close(char bracket) {
  raw({&bracket, 1});
  needs_comma_ = true;
}

void JsonWriter::separate() {
  if (needs_comma_) raw(",");
}

void JsonWriter::literal(std::string_view word) {
  separate();
  raw(word);
  needs_comma_ = true;
}

void JsonWriter::text(std::string_view value) {
  if (!has_room(value.size() + 3)) return;
  if (needs_comma_) *at_++ = ',';
  *at_++ = '"';
  const char* const end = value.data() + value.size();
  const char* const plain_end = end_of_plain(value.data(), end);
  const auto plain = static_cast<std::size_t>(plain_end - value.data());
  append(value.substr(0, plain));
  if (plain_end != end) escaped(value.substr(plain));
  raw("\"");
  needs_comma_ = true;
}

void JsonWriter::number(std::uint64_t value) {
  separate();
  if (!has_room(kNumberMax)) return;
  at_ = std::to_chars(at_, at_ + kNumberMax, value).ptr;
  needs_comma_ = true;
}

void JsonWriter::signed_number(std::int64_t value) {
  separate();
  if (!has_room(kNumberMax)) return;
  at_ = std::to_chars(at_, at_ + kNumberMax, value).ptr;
  needs_comma_ = true;
}

void JsonWriter::seconds(std::uint64_t nanoseconds) {
  separate();
  if (!has_room(kNumberMax)) return;
  const std::uint64_t microseconds = nanoseconds / 1000;
  at_ = std::to_chars(at_, at_ + kNumberMax, microseconds / 1'000'000).ptr;
  *at_++ = '.';
  auto rest = static_cast<std::uint32_t>(microseconds % 1'000'000);
  for (std::size_t i = 6; i-- > 0; rest /= 10)
    at_[i] = static_cast<char>('0' + rest % 10);
  at_ += 6;
  needs_comma_ = true;
}

void JsonWriter::escaped(std::string_view value) {
  const char* at = value.data();
  const char* const end = at + value.size();
  while (at < end) {
    const char* const plain_end = end_of_plain(at, end);
    raw({at, static_cast<std::size_t>(plain_end - at)});
    at = plain_end;
    if (at == end) return;
    const std::size_t length = utf8_length(at, end);
    const auto byte = static_cast<unsigned char>(*at);
    if (length == 0) {
      raw(kReplacement);
      ++at;
      continue;
    }
    if (length == 1 && (byte == '"' || byte == '\\')) {
      const char pair[2] = {'\\', *at};
      raw({pair, 2});
    } else if (length == 1 || is_c1_control(at, length)) {
      const unsigned code = length == 1 ? byte : static_cast<unsigned char>(at[1]);
      const char unit[6] = {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
      raw({unit, 6});
    } else {
      raw({at, length});
    }
    at += length;
  }
}

}  // namespace portunus::base
