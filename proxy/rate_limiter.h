// One configured rate limit at work: which bucket a request belongs to, whether it is within, and what
// is counted of it. Shared by all threads and by the generations that have it unchanged. A key is
// hashed with a secret of its own and never kept, however long it is. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/hash.h"
#include "conf/model_admission.h"
#include "http/message.h"
#include "net/address.h"
#include "proxy/rate_table.h"

namespace portunus::proxy {

class RateLimiter {
 public:
  // `hash` only to make tests repeatable.
  RateLimiter(std::string name, const conf::RateLimit& rule, base::KeyedHash hash = {});

  // Of a request of the client with that address, which is set.
  [[nodiscard]] RateTable::Verdict take(const http::Head& request,
                                        const net::Address& client,
                                        std::uint64_t now_ns);

  // Retry-After for a verdict that is not within. False when there is no room; here and below.
  [[nodiscard]] bool add_retry_after(const RateTable::Verdict& verdict,
                                     base::Arena& arena,
                                     http::HeaderBlock& fields) const;
  // RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11). Burst and rate are told
  // as one quota: as many as may ever come at once, in the time in which they come back.
  [[nodiscard]] bool add_rate_fields(const RateTable::Verdict& verdict,
                                     base::Arena& arena,
                                     http::HeaderBlock& fields) const;

  [[nodiscard]] const std::string& name() const { return name_; }  // the `limiter` label
  [[nodiscard]] const conf::RateLimit& rule() const { return rule_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t count_held(std::uint64_t now_ns) const {
    return table_.count_held(now_ns);
  }

 private:
  [[nodiscard]] std::uint64_t hash_of(const http::Head& request, const net::Address& client) const;

  std::string name_;
  conf::RateLimit rule_;
  base::KeyedHash hash_;
  RateTable table_;
  std::string policy_;  // RateLimit-Policy
  // Away from what each request reads.
  alignas(64) std::atomic<std::uint64_t> refused_{0};  // or would have been, when it only reports
  std::atomic<std::uint64_t> evicted_{0};
};

}  // namespace portunus::proxy
