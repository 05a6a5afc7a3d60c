#include "health/slow_start.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace portunus::health {

double own_share(std::uint64_t up_since_ms, std::uint64_t length_ms, std::uint64_t now_ms) {
  const std::uint64_t age_ms = now_ms > up_since_ms ? now_ms - up_since_ms : 0;
  if (age_ms >= length_ms) return 1;
  const double part = static_cast<double>(age_ms) / static_cast<double>(length_ms);
  return kFirstShare + (1 - kFirstShare) * part;
}

bool set_shares(std::span<const SlowStarter> members,
                std::uint64_t length_ms,
                std::uint64_t now_ms) {
  std::array<double, 2> largest{};  // of primaries and backups
  for (const SlowStarter& each : members) {
    if (!each.member->is_healthy()) continue;
    double& tier = largest.at(each.is_backup ? 1 : 0);
    tier = std::max(tier, own_share(each.up_since_ms, length_ms, now_ms));
  }
  bool is_any = false;
  for (const SlowStarter& each : members) {
    double share = length_ms == 0 ? 1 : kFirstShare;  // with which it will come back
    if (each.member->is_healthy()) {
      share = own_share(each.up_since_ms, length_ms, now_ms) / largest.at(each.is_backup ? 1 : 0);
      is_any = is_any || share < 1;
    }
    const auto parts = static_cast<std::uint32_t>(std::lround(share * kFullShare));
    if (each.member->share.load(std::memory_order_relaxed) == parts) continue;
    each.member->share.store(parts, std::memory_order_relaxed);
  }
  return is_any;
}

}  // namespace portunus::health
