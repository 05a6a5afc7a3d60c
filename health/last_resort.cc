#include "health/last_resort.h"

#include <algorithm>

namespace portunus::health {
namespace {

bool is_in(const ResortCandidate& candidate, MemberState state) {
  return candidate.member->state.load(std::memory_order_relaxed) == state;
}

}  // namespace

ResortChange set_last_resort(std::span<const ResortCandidate> members,
                             conf::WhenUnhealthy rule,
                             std::uint64_t apart_ms) {
  const bool is_needed =
      rule != conf::WhenUnhealthy::fail &&
      std::ranges::none_of(members, [](const auto& one) { return is_in(one, MemberState::up); });
  std::uint64_t last_ms = 0;
  for (const ResortCandidate& each : members)
    if (each.was_up && is_in(each, MemberState::down)) last_ms = std::max(last_ms, each.since_ms);
  ResortChange change;
  for (const ResortCandidate& each : members) {
    const bool is_last =
        rule == conf::WhenUnhealthy::all || (each.was_up && last_ms - each.since_ms <= apart_ms);
    const bool is_used = is_needed && is_in(each, MemberState::down) && is_last;
    const bool was_used = each.member->is_last_resort.exchange(is_used, std::memory_order_relaxed);
    change.used += is_used ? 1 : 0;
    change.used_before += was_used ? 1 : 0;
    change.is_any_new = change.is_any_new || (is_used && !was_used);
  }
  return change;
}

}  // namespace portunus::health
