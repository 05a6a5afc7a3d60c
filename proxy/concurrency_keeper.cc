#include "proxy/concurrency_keeper.h"

#include <utility>

#include "base/log.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kTellEveryMs = 60'000;  // and pool
constexpr double kNsPerMs = 1e6;

health::ConcurrencyLimit::Seen seen_in(const PoolShare& share) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  return {share.answers.load(kRelaxed), share.latency_ns.load(kRelaxed),
          share.held_back.load(kRelaxed), share.requests.load(kRelaxed)};
}

}  // namespace

void ConcurrencyKeeper::configure(const conf::Model& model,
                                  const std::vector<SharedPoolShare>& shares) {
  std::map<std::string, Kept> before = std::exchange(pools_, {});
  for (std::size_t i = 0; i < model.pools.size(); ++i) {
    const conf::Pool& pool = model.pools[i];
    if (!pool.overload.adaptive.is_on) continue;
    const auto known = before.find(pool.name);
    const bool is_known = known != before.end() && known->second.share == shares[i];
    Kept kept = is_known ? std::move(known->second)
                         : Kept{health::ConcurrencyLimit(pool.overload.adaptive), shares[i]};
    if (is_known) kept.limit.configure(pool.overload.adaptive);
    shares[i]->limit.store(kept.limit.limit(), std::memory_order_relaxed);
    pools_.emplace(pool.name, std::move(kept));
  }
}

std::vector<SharedPoolShare> ConcurrencyKeeper::step(std::uint64_t now_ms) {
  std::vector<SharedPoolShare> raised;
  for (auto& [name, kept] : pools_) {
    kept.limit.step(seen_in(*kept.share), now_ms);
    const std::uint32_t limit = kept.limit.limit();
    // Sequentially consistent, as Pool::mark_waiting(): who waits sees the room, or is seen to wait.
    const std::uint32_t before = kept.share->limit.exchange(limit);
    if (limit > before) raised.push_back(kept.share);
    tell(name, kept, now_ms);
  }
  return raised;
}

void ConcurrencyKeeper::tell(const std::string& pool, Kept& kept, std::uint64_t now_ms) {
  const health::ConcurrencyLimit& limit = kept.limit;
  if (limit.is_throttling() == kept.is_told) return;
  if (kept.told_ms != 0 && now_ms - kept.told_ms < kTellEveryMs) return;
  kept.is_told = limit.is_throttling();
  kept.told_ms = now_ms;
  if (kept.is_told) {
    base::log(base::LogLevel::warn, "overload",
              "pool {}: answers take {:.1f} ms instead of {:.1f}: some {} requests at a time, "
              "further ones wait",
              pool, static_cast<double>(limit.latency_ns()) / kNsPerMs,
              static_cast<double>(limit.alone_ns()) / kNsPerMs, limit.limit());
  } else {
    base::log(base::LogLevel::info, "overload",
              "pool {}: answers are as fast as usual again ({:.1f} ms)", pool,
              static_cast<double>(limit.latency_ns()) / kNsPerMs);
  }
}

std::optional<ConcurrencyView> ConcurrencyKeeper::view(const std::string& pool) const {
  const auto known = pools_.find(pool);
  if (known == pools_.end()) return std::nullopt;
  const Kept& kept = known->second;
  return ConcurrencyView{kept.limit.limit(), kept.share->requests.load(std::memory_order_relaxed),
                         kept.limit.latency_ns(), kept.limit.alone_ns(),
                         kept.limit.is_throttling()};
}

}  // namespace portunus::proxy
