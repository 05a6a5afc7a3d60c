// What operators ask of members while the control thread runs: the object gets it, the lists follow in
// a round (control_members.cc), and whoever wants to hear that nothing is in flight any more does.
//
// A replica of a service that is disabled is still probed: its process is judged by that, and what
// the pool makes of it is hidden by the state.
#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/control.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;
using health::AdminState;

AdminState state_for(MemberCommand command, AdminState now) {
  switch (command) {
    case MemberCommand::drain:
      return AdminState::drained;
    case MemberCommand::disable:
      return AdminState::disabled;
    case MemberCommand::enable:
      return AdminState::enabled;
    case MemberCommand::weigh:
      return now;
  }
  return now;
}

const char* reason_of(AdminState state) {
  switch (state) {
    case AdminState::drained:
      return "drained by an operator";
    case AdminState::disabled:
      return "disabled by an operator";
    case AdminState::enabled:
      return "enabled by an operator";
  }
  return "";
}

}  // namespace

const MemberEntry* Control::find_entry(const std::string& pool, const std::string& name) const {
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    if (current_->model->pools[i].name != pool) continue;
    const auto found = std::ranges::find_if(
        lists_[i]->entries, [&](const MemberEntry& entry) { return entry.member->name == name; });
    if (found != lists_[i]->entries.end()) return &*found;
  }
  return nullptr;
}

std::expected<MemberView, std::string> Control::order(const MemberWish& wish) {
  const MemberEntry* const entry = find_entry(wish.pool, wish.member);
  if (entry == nullptr) {
    return std::unexpected("pool " + wish.pool + " has no member " + wish.member);
  }
  const SharedMember member = entry->member;
  MemberOrders& orders = builder_.orders();
  MemberOrder order = orders.find(member->pool, member->name);
  const AdminState before = order.state;
  order.state = state_for(wish.command, before);
  if (order.state != before) order.since_us = base::wall_us();
  if (wish.command == MemberCommand::weigh) order.weight = wish.weight;
  if (!orders.set(member->pool, member->name, order)) {
    return std::unexpected("too many members are drained, disabled or weighed already");
  }
  const health::MemberState from = member->state.load(std::memory_order_relaxed);
  orders.apply(*member);
  member->publish();
  renew_lists();
  if (wish.command == MemberCommand::weigh) {
    base::log(LogLevel::info, "admin", "pool {}: {} has the weight {}", member->pool, member->name,
              find_entry(wish.pool, wish.member)->weight);
  }
  const health::MemberState to = member->state.load(std::memory_order_relaxed);
  if (from != to) on_transition(*member, {from, to, "admin", reason_of(order.state)});
  loop_.post([this] { note_drained(); });
  tell_memory();
  return view_of(*find_entry(wish.pool, wish.member));
}

void Control::await_drained(const std::string& pool,
                            const std::string& member,
                            DrainWaiter& waiter) {
  const MemberEntry* const entry = find_entry(pool, member);
  drain_waiters_.push_back({&waiter, entry == nullptr ? nullptr : entry->member, round_});
  loop_.post([this] { note_drained(); });
}

// As DynamicMembers has it: once each thread has taken a round that was posted after the state, none
// begins another request there, and in_flight only falls.
void Control::note_drained() {
  const std::uint64_t taken = least_round();
  std::vector<std::pair<DrainWaiter*, bool>> done;
  std::erase_if(drain_waiters_, [&](const DrainWait& each) {
    const bool is_leaving = each.member && each.member->is_leaving();
    const bool is_drained = is_leaving && each.round <= taken &&
                            each.member->in_flight.load(std::memory_order_relaxed) == 0;
    if (is_drained || !is_leaving) done.emplace_back(each.waiter, is_drained);
    return is_drained || !is_leaving;
  });
  for (const auto& [waiter, is_drained] : done)
    waiter->on_drain_done(is_drained);
}

// Orders about members that have gone are not kept for ever.
void Control::note_orders() {
  if (!current_) return;
  builder_.orders().note_present(lists_, base::wall_us());
}

}  // namespace portunus::proxy
