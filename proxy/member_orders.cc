#include "proxy/member_orders.h"

#include <unordered_set>

namespace portunus::proxy {

MemberOrder MemberOrders::find(const std::string& pool, const std::string& name) const {
  const auto known = orders_.find(key_of(pool, name));
  return known == orders_.end() ? MemberOrder{} : known->second.order;
}

bool MemberOrders::set(const std::string& pool, const std::string& name, const MemberOrder& order) {
  const std::string key = key_of(pool, name);
  if (order.is_default()) {
    orders_.erase(key);
    return true;
  }
  if (orders_.size() >= kMax && !orders_.contains(key)) return false;
  orders_.insert_or_assign(key, Entry{pool, name, order});
  return true;
}

void MemberOrders::apply(health::Member& member) const {
  const MemberOrder order = find(member.pool, member.name);
  member.admin = order.state;
  member.admin_weight = order.weight;
}

void MemberOrders::note_present(std::span<const SharedMemberList> lists, std::uint64_t now_us) {
  if (orders_.empty()) return;
  std::unordered_set<std::string> present;
  for (const SharedMemberList& list : lists) {
    for (const MemberEntry& entry : list->entries) {
      const health::Member& member = *entry.member;
      if (member.admin == health::AdminState::enabled && member.admin_weight == 0) continue;
      present.insert(key_of(member.pool, member.name));
    }
  }
  for (auto& [key, entry] : orders_) {
    std::uint64_t& gone_us = entry.order.gone_us;
    if (present.contains(key)) {
      gone_us = 0;
    } else if (gone_us == 0) {
      gone_us = now_us;
    }
  }
  std::erase_if(orders_, [now_us](const auto& known) {
    const std::uint64_t gone_us = known.second.order.gone_us;
    return gone_us != 0 && now_us > gone_us + kGoneMaxUs;
  });
}

std::vector<MemberOrders::Entry> MemberOrders::all() const {
  std::vector<Entry> entries;
  entries.reserve(orders_.size());
  for (const auto& [key, entry] : orders_)
    entries.push_back(entry);
  return entries;
}

}  // namespace portunus::proxy
