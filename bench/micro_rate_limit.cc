// One decision of a rate limit, as a request pays for it: the hash of its key and the bucket. With one
// key and with many, for requests that are within and for those that are not, by several threads.
#include <benchmark/benchmark.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <memory>

#include "base/clock.h"
#include "proxy/rate_limiter.h"

namespace portunus::proxy {
namespace {

std::unique_ptr<RateLimiter> make_limiter(bool is_tight) {
  conf::RateLimit rule;
  rule.requests = is_tight ? 1 : conf::RateLimit::kRequestsMax;
  rule.per = base::Milliseconds(is_tight ? 3'600'000 : 1000);
  rule.burst = is_tight ? 1 : conf::RateLimit::kRequestsMax;
  return std::make_unique<RateLimiter>("bench", rule);
}

// Made on the fly: a list of them would be in the cache, or not, as well.
net::Address client(std::uint64_t number) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(0x0a000000U | static_cast<std::uint32_t>(number));
  return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&in));
}

std::unique_ptr<RateLimiter> limiter;  // of all threads of one benchmark

// Arguments: the number of clients, in a random order; whether nearly all requests are refused.
void rate_limit(benchmark::State& state) {
  if (state.thread_index() == 0) {
    limiter = make_limiter(state.range(1) != 0);
    // What has been remembered is there: no page of the table is touched for the first time.
    const http::Head none;
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(state.range(0)); ++i)
      static_cast<void>(limiter->take(none, client(i), base::monotonic_ns()));
  }
  http::Head head;
  head.clear();
  std::uint64_t at = static_cast<std::uint64_t>(state.thread_index()) + 1;
  std::uint64_t now = base::monotonic_ns();
  for (auto _ : state) {
    at = at * 6364136223846793005U + 1442695040888963407U;
    now += 1000;  // as of the turn: no request reads the clock for it
    const std::uint64_t number = (at >> 33) % static_cast<std::uint64_t>(state.range(0));
    benchmark::DoNotOptimize(limiter->take(head, client(number), now));
  }
}
BENCHMARK(rate_limit)
    ->ArgNames({"clients", "refused"})
    ->ArgsProduct({{1, 1000, 100'000}, {0, 1}})
    ->Threads(1)
    ->Threads(2);

}  // namespace
}  // namespace portunus::proxy
