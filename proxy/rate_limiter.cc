#include "proxy/rate_limiter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "http/cookie.h"
#include "proxy/client_counts.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kRateSecondNs = 1'000'000'000;
// Tells what clients send from their addresses.
constexpr std::uint64_t kSentValue = 1;

std::uint64_t per_ns(const conf::RateLimit& rule) {
  return base::whole_ms(rule.per) * base::kNsPerMs;
}

std::uint64_t whole_seconds(std::uint64_t ns) {
  return (ns + kRateSecondNs - 1) / kRateSecondNs;
}

std::string_view digits_of(std::uint64_t number, base::Arena& arena) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return arena.copy({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  out.append(digits.data(),
             std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

// A quota and its window in whole seconds, neither below what the other end may do.
std::string policy_of(const conf::RateLimit& rule) {
  const std::uint64_t quota = std::max(rule.burst, rule.requests);
  std::string out = "\"default\";q=";
  append_number(out, quota);
  out += ";w=";
  // In milliseconds: a day's nanoseconds times a large quota have no room.
  const std::uint64_t ms = (quota * base::whole_ms(rule.per) + rule.requests - 1) / rule.requests;
  append_number(out, whole_seconds(ms * base::kNsPerMs));
  return out;
}

// Empty when there is none, or several: the member may look at another than we.
std::string_view only_value(const http::HeaderBlock& fields, std::string_view name) {
  const std::size_t at = fields.find(name);
  if (at == http::HeaderBlock::kNone || fields.find(name, at + 1) != http::HeaderBlock::kNone)
    return {};
  return fields.field(at).value();
}

std::string_view only_cookie(const http::HeaderBlock& fields, std::string_view name) {
  std::string_view value;
  std::size_t count = 0;
  for (std::size_t at = fields.find(http::HeaderId::cookie); at != http::HeaderBlock::kNone;
       at = fields.find(http::HeaderId::cookie, at + 1)) {
    http::CookieWalk walk(fields.field(at).value());
    for (http::Cookie cookie; walk.next(cookie);) {
      if (cookie.name != name) continue;
      value = cookie.value;
      ++count;
    }
  }
  return count == 1 ? value : std::string_view{};
}

}  // namespace

RateLimiter::RateLimiter(std::string name, const conf::RateLimit& rule, base::KeyedHash hash)
    : name_(std::move(name)),
      rule_(rule),
      hash_(hash),
      table_({.requests = rule.requests,
              .per_ns = per_ns(rule),
              .burst = rule.burst,
              .keys = rule.keys}),
      policy_(policy_of(rule)) {
  if (table_.entries() >= rule.keys) return;
  base::log(base::LogLevel::warn, "proxy",
            "rate_limit of {}: there is memory for {} keys, not for {}", name_, table_.entries(),
            rule.keys);
}

RateTable::Verdict RateLimiter::take(const http::Head& request,
                                     const net::Address& client,
                                     std::uint64_t now_ns) {
  const RateTable::Verdict verdict = table_.take(hash_of(request, client), now_ns);
  if (!verdict.is_within) refused_.fetch_add(1, std::memory_order_relaxed);
  if (verdict.has_evicted) evicted_.fetch_add(1, std::memory_order_relaxed);
  return verdict;
}

std::uint64_t RateLimiter::hash_of(const http::Head& request, const net::Address& client) const {
  std::string_view value;
  switch (rule_.key) {
    case conf::RateKey::client_ip:
      break;
    case conf::RateKey::header:
      value = only_value(request.fields, rule_.key_name);
      break;
    case conf::RateKey::cookie:
      value = only_cookie(request.fields, rule_.key_name);
      break;
    case conf::RateKey::path:
      value = request.path;
      break;
  }
  // Who leaves it out must not get away with it.
  return value.empty() ? hash_client(hash_, client, rule_.ipv6_prefix) : hash_(value, kSentValue);
}

bool RateLimiter::add_retry_after(const RateTable::Verdict& verdict,
                                  base::Arena& arena,
                                  http::HeaderBlock& fields) const {
  return fields.add(http::HeaderId::retry_after,
                    digits_of(whole_seconds(table_.wait_ns(verdict)), arena));
}

bool RateLimiter::add_rate_fields(const RateTable::Verdict& verdict,
                                  base::Arena& arena,
                                  http::HeaderBlock& fields) const {
  const std::uint64_t left = verdict.is_within ? table_.left(verdict) : 0;
  const std::uint64_t until_ns =
      verdict.is_within ? table_.refill_ns(verdict) : table_.wait_ns(verdict);
  std::string_view text = arena.join("\"default\";r=", digits_of(left, arena));
  text = arena.join(text, ";t=");
  text = arena.join(text, digits_of(whole_seconds(until_ns), arena));
  return fields.add("ratelimit-policy", policy_) && fields.add("ratelimit", text);
}

}  // namespace portunus::proxy
