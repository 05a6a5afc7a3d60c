#include "proxy/sticky.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <span>
#include <utility>

#include "http/cookie.h"
#include "http/grammar.h"
#include "http/message.h"

namespace portunus::proxy {
namespace {

using CookieBytes = std::array<unsigned char, Sticky::kBytes>;

constexpr std::size_t kIdBytes = 8;
constexpr std::size_t kSignedBytes = 12;  // the id and when it expires
constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// One letter before each kind of text that a code is made over, so that none stands for another.
constexpr char kPurposePool = 'p';
constexpr char kPurposeMember = 'm';
constexpr char kPurposeCookie = 'c';

std::span<const unsigned char> bytes_of(std::string_view text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

net::Hmac sticky_key_of(std::string_view secret, std::string_view pool) {
  net::Hmac root(bytes_of(secret));
  std::string text = "portunus sticky 1 ";  // when a configuration is applied
  text += kPurposePool;
  text += pool;
  const net::Hmac::Code key = root.of(text);
  return net::Hmac(key);
}

template <std::size_t kCount>
std::uint64_t read_number(const unsigned char* at) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < kCount; ++i)
    number = number << 8U | at[i];
  return number;
}

template <std::size_t kCount>
void write_number(std::uint64_t number, unsigned char* at) {
  for (std::size_t i = kCount; i-- > 0; number >>= 8U)
    at[i] = static_cast<unsigned char>(number);
}

net::Hmac::Code code_of(const CookieBytes& value, net::Hmac& key) {
  std::array<char, 1 + kSignedBytes> text{kPurposeCookie};
  std::memcpy(text.data() + 1, value.data(), kSignedBytes);
  return key.of({text.data(), text.size()});
}

// A multiple of three bytes: no padding, and no bits that mean nothing.
void encode_cookie(const CookieBytes& value, char* out) {
  for (std::size_t i = 0; i < value.size(); i += 3) {
    const std::uint64_t three = read_number<3>(&value[i]);
    for (unsigned shift = 24; shift > 0; shift -= 6)
      *out++ = kLetters[three >> (shift - 6) & 63U];
  }
}

constexpr auto kDigits = [] {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(0xff);
  for (std::size_t i = 0; i < kLetters.size(); ++i)
    digits[static_cast<unsigned char>(kLetters[i])] = static_cast<std::uint8_t>(i);
  return digits;
}();

bool decode_cookie(std::string_view text, CookieBytes& value) {
  if (text.size() != Sticky::kText) return false;
  for (std::size_t i = 0; i < value.size(); i += 3) {
    std::uint64_t three = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint8_t digit = kDigits[static_cast<unsigned char>(text[i / 3 * 4 + k])];
      if (digit == 0xff) return false;
      three = three << 6U | digit;
    }
    write_number<3>(three, &value[i]);
  }
  return true;
}

std::uint64_t ttl_seconds_of(const conf::Sticky& rule) {
  return static_cast<std::uint64_t>(rule.ttl.count()) / 1000;
}

std::string attributes_of(const conf::Sticky& rule, bool is_secure) {
  std::array<char, 20> digits{};
  char* const end =
      std::to_chars(digits.data(), digits.data() + digits.size(), ttl_seconds_of(rule)).ptr;
  std::string out = "; Path=/; Max-Age=";
  out.append(digits.data(), end);
  out += "; HttpOnly";
  if (is_secure) out += "; Secure";
  switch (rule.same_site) {
    case conf::SameSite::lax:
      return out + "; SameSite=Lax";
    case conf::SameSite::strict:
      return out + "; SameSite=Strict";
    case conf::SameSite::none:
      return is_secure ? out + "; SameSite=None" : out;  // browsers refuse it otherwise
  }
  return out;
}

// The field without cookies of that name, in `arena`; the same view when there are none.
std::string_view without(std::string_view field, std::string_view name, base::Arena& arena) {
  std::size_t found = 0;
  http::CookieWalk look(field);
  for (http::Cookie cookie; look.next(cookie);)
    found += cookie.name == name ? 1 : 0;
  if (found == 0) return field;
  char* const begin = arena.take(field.size());
  char* at = begin;
  while (!field.empty()) {
    const std::size_t end = std::min(field.find(';'), field.size());
    std::string_view pair = field.substr(0, end);
    field.remove_prefix(std::min(end + 1, field.size()));
    http::Cookie cookie;
    if (http::CookieWalk(pair).next(cookie) && cookie.name == name) continue;
    if (at == begin) {
      while (!pair.empty() && (pair.front() == ' ' || pair.front() == '\t'))
        pair.remove_prefix(1);
    } else {
      *at++ = ';';  // spaces behind it are part of the pair: no byte more than there was
    }
    std::memcpy(at, pair.data(), pair.size());
    at += pair.size();
  }
  return {begin, static_cast<std::size_t>(at - begin)};
}

}  // namespace

Sticky::Sticky(conf::Sticky rule, std::string_view secret, std::string_view pool)
    : rule_(std::move(rule)),
      key_(sticky_key_of(secret, pool)),
      attributes_(attributes_of(rule_, rule_.secure == conf::CookieSecure::always)),
      secure_attributes_(attributes_of(rule_, rule_.secure != conf::CookieSecure::never)) {}

void Sticky::set_members(const MemberList& members) {
  ids_.clear();
  places_.clear();
  ids_.reserve(members.entries.size());
  places_.reserve(members.entries.size());
  for (const MemberEntry& entry : members.entries) {
    const net::Hmac::Code code = key_.of(kPurposeMember + entry.member->name);
    const std::uint64_t id = std::max<std::uint64_t>(read_number<kIdBytes>(code.data()), 1);
    places_.emplace(id, ids_.size());
    ids_.push_back(id);
  }
}

Sticky::Named Sticky::look_at(std::string_view text, std::uint64_t now_s) {
  CookieBytes value;
  if (!decode_cookie(text, value)) return {};
  const std::span<const unsigned char> given = std::span(value).subspan(kSignedBytes);
  const net::Hmac::Code code = code_of(value, key_);
  if (!net::is_same_code(given, std::span(code).first(given.size()))) return {};
  const std::uint64_t expires_s = read_number<kSignedBytes - kIdBytes>(&value[kIdBytes]);
  if (expires_s <= now_s) return {};
  return {read_number<kIdBytes>(value.data()), (expires_s - now_s) * 2 < ttl_seconds_of(rule_)};
}

Sticky::Named Sticky::read(const http::HeaderBlock& request, std::uint64_t now_s) {
  std::size_t looks = 0;
  for (std::size_t at = request.find(http::HeaderId::cookie); at != http::HeaderBlock::kNone;
       at = request.find(http::HeaderId::cookie, at + 1)) {
    http::CookieWalk walk(request.field(at).value());
    for (http::Cookie cookie; walk.next(cookie);) {
      if (cookie.name != rule_.cookie) continue;
      if (++looks > kLooksMax) return {};
      const Named named = look_at(cookie.value, now_s);
      if (named.id != 0) return named;
    }
  }
  return {};
}

std::size_t Sticky::find(std::uint64_t id) const {
  const auto place = places_.find(id);
  return place == places_.end() ? kNobody : place->second;
}

void Sticky::strip(http::HeaderBlock& request, base::Arena& arena) const {
  for (std::size_t at = request.find(http::HeaderId::cookie); at != http::HeaderBlock::kNone;
       at = request.find(http::HeaderId::cookie, at + 1)) {
    const std::string_view before = request.field(at).value();
    const std::string_view after = without(before, rule_.cookie, arena);
    if (after.data() == before.data()) continue;
    if (after.empty()) {
      request.remove_at(at);
    } else {
      request.set_value(at, after);
    }
  }
}

void Sticky::add(std::uint64_t id,
                 bool is_https,
                 std::uint64_t now_s,
                 base::Arena& arena,
                 http::HeaderBlock& answer) {
  CookieBytes value;
  write_number<kIdBytes>(id, value.data());
  write_number<kSignedBytes - kIdBytes>(now_s + ttl_seconds_of(rule_), &value[kIdBytes]);
  const net::Hmac::Code code = code_of(value, key_);
  std::copy_n(code.begin(), value.size() - kSignedBytes, value.begin() + kSignedBytes);
  const std::string& attributes = is_https ? secure_attributes_ : attributes_;
  const std::size_t size = rule_.cookie.size() + 1 + kText + attributes.size();
  char* const text = arena.take(size);
  char* at = std::ranges::copy(rule_.cookie, text).out;
  *at++ = '=';
  encode_cookie(value, at);
  std::ranges::copy(attributes, at + kText);
  static_cast<void>(answer.add(http::HeaderId::set_cookie, {text, size}));
}

bool is_for_shared_caches(const http::HeaderBlock& answer) {
  for (std::size_t at = answer.find(http::HeaderId::cache_control); at != http::HeaderBlock::kNone;
       at = answer.find(http::HeaderId::cache_control, at + 1)) {
    std::string_view rest = answer.field(at).value();
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(','), rest.size());
      std::string_view word = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      while (!word.empty() && (word.front() == ' ' || word.front() == '\t'))
        word.remove_prefix(1);
      word = word.substr(0, word.find_first_of("= \t"));
      if (http::is_same_ignoring_case(word, "public") ||
          http::is_same_ignoring_case(word, "s-maxage"))
        return true;
    }
  }
  return false;
}

}  // namespace portunus::proxy
