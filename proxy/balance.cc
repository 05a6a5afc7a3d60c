#include "proxy/balance.h"

#include <algorithm>

namespace portunus::proxy {

Standing standing_of(const health::Member& member, const PickInput& input) {
  if (!member.is_selectable() ||
      (!input.takes_suspects && member.is_suspect.load(std::memory_order_relaxed)) ||
      std::ranges::find(input.tried, &member) != input.tried.end()) {
    return Standing::unselectable;
  }
  const std::uint32_t in_flight = member.in_flight.load(std::memory_order_relaxed);
  return in_flight >= input.in_flight_max ? Standing::full : Standing::usable;
}

std::vector<Candidate> candidates_of(const MemberList& members, bool is_backup) {
  std::vector<Candidate> list;
  for (std::size_t i = 0; i < members.entries.size(); ++i) {
    const MemberEntry& entry = members.entries[i];
    if (entry.is_backup != is_backup) continue;
    list.push_back({entry.member.get(), std::max(entry.weight, 1U), static_cast<std::uint32_t>(i)});
  }
  return list;
}

Found find_usable(std::span<const Candidate> tier, const PickInput& input, std::size_t start) {
  Found found;
  std::size_t place = start;
  for (std::size_t i = 0; i < tier.size(); ++i) {
    const Standing standing = standing_of(tier[place], input);
    if (standing == Standing::usable) return {PickResult::picked, place};
    if (standing == Standing::full) found.result = PickResult::all_full;
    if (++place == tier.size()) place = 0;
  }
  return found;
}

}  // namespace portunus::proxy
