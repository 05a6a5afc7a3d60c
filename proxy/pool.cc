#include "proxy/pool.h"

#include <algorithm>
#include <unordered_map>

#include "base/check.h"

namespace portunus::proxy {
namespace {

using base::Error;

}  // namespace

// ---- MemberSlot ----

MemberSlot::MemberSlot(Pool& pool, SharedMember member)
    : pool_(&pool), member_(std::move(member)) {}

void MemberSlot::on_client_connected(http::H1Client& client, Error failure) {
  pool_->on_dialled(*this, client, failure);
}

void MemberSlot::on_client_stale(http::H1Client& client) {
  pool_->close_connection(*this, client);
}

void MemberSlot::on_client_gone(http::H1Client& client) {
  pool_->context_->connections.destroy(&client);
  --open_;
  --pool_->context_->open_connections;
  member_->connections.fetch_sub(1, std::memory_order_relaxed);
  if (!is_listed_ && open_ == 0 && leased_ == 0) pool_->forget(*this);
}

// ---- Pool ----

Pool::Pool(PoolContext& context, std::string name) : context_(&context), name_(std::move(name)) {}

Pool::~Pool() {
  CHECK(!has_open_connections());
}

void Pool::configure(const conf::Pool& settings, SharedMemberList members, SharedPoolShare share) {
  adopt(std::move(share));
  const bool same_policy = settings_ != nullptr && balancer_ != nullptr &&
                           settings_->balance == settings.balance &&
                           settings_->hash_on == settings.hash_on;
  const bool same_members = members_ == members;
  is_closing_ = false;  // it may have left the configuration and come back
  settings_ = &settings;
  if (!same_policy) balancer_ = make_balancer(settings);
  if (same_policy && same_members) return;
  members_ = std::move(members);
  std::unordered_map<const health::Member*, MemberSlot*> known;
  for (auto& slot : slots_) {
    slot->is_listed_ = false;
    known.emplace(slot->member_.get(), slot.get());
  }
  // Those that leave are not waited for: other threads would give us turns for nothing.
  if (queued_ > 0) mark_waiting(false);
  listed_.clear();
  for (const MemberEntry& entry : members_->entries) {
    MemberSlot*& slot = known[entry.member.get()];
    if (slot == nullptr) {
      slots_.push_back(std::make_unique<MemberSlot>(*this, entry.member));
      slot = slots_.back().get();
    }
    slot->is_listed_ = true;
    listed_.push_back(slot);
  }
  balancer_->set_members(*members_);
  drop_unlisted();
  wake_waiters();
}

// Another share of the same name: the pool had left the configuration and come back while attempts
// waited. They are counted where they will be taken off.
void Pool::adopt(SharedPoolShare share) {
  if (share_ == share) return;
  const auto waiting = static_cast<std::uint32_t>(queued_);
  if (share_ != nullptr) share_->pending.fetch_sub(waiting, std::memory_order_relaxed);
  share->pending.fetch_add(waiting, std::memory_order_relaxed);
  share_ = std::move(share);
}

void Pool::retire() {
  close_idle();
  settings_ = nullptr;
}

// Idle connections of members that have left are closed; busy ones when they come back.
void Pool::drop_unlisted() {
  for (std::size_t i = slots_.size(); i-- > 0;) {
    MemberSlot& slot = *slots_[i];
    if (slot.is_listed_) continue;
    close_idle_of(slot);
    if (slot.open_ == 0 && slot.leased_ == 0) forget(slot);
  }
}

void Pool::forget(MemberSlot& slot) {
  const auto place = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const auto& known) { return known.get() == &slot; });
  if (place == slots_.end()) return;
  std::swap(*place, slots_.back());
  slots_.pop_back();
}

PickResult Pool::lease(const PickInput& input, LeaseWish wish, Lease& lease) {
  std::size_t index = 0;
  PickResult result = balancer_->pick(input, context_->random, index);
  if (result == PickResult::none) {
    PickInput any = input;
    any.takes_suspects = true;
    result = balancer_->pick(any, context_->random, index);
  }
  if (result != PickResult::picked) return result;
  MemberSlot& slot = *listed_[index];
  lease = {&slot, nullptr, false};
  slot.member_->in_flight.fetch_add(1, std::memory_order_relaxed);
  ++slot.leased_;
  if (wish.needs_fresh) return result;
  while (UpstreamConnection* connection = slot.idle_.pop_front()) {
    --slot.idle_count_;
    if (!wish.is_repeatable && connection->looks_stale()) {
      connection->close();
      continue;
    }
    lease.connection = connection;
    lease.is_reused = true;
    break;
  }
  return result;
}

void Pool::dial(Lease& lease, PoolWaiter& waiter) {
  MemberSlot& slot = *lease.slot;
  UpstreamConnection* connection = context_->connections.make(context_->clients, slot);
  lease.connection = connection;
  ++slot.open_;
  ++context_->open_connections;
  slot.member_->connections.fetch_add(1, std::memory_order_relaxed);
  connection->set_tag(&waiter);
  connection->connect(slot.member_->address,
                      static_cast<std::uint64_t>(settings_->timeouts.connect.count()));
}

void Pool::on_dialled(MemberSlot& slot, UpstreamConnection& connection, Error failure) {
  auto* waiter = static_cast<PoolWaiter*>(connection.tag());
  connection.set_tag(nullptr);
  if (failure.is_error()) {
    connection.close();
    // Our own shortage says nothing about the member.
    if (failure.side != base::Side::internal &&
        !slot.member_->is_suspect.exchange(true, std::memory_order_relaxed) &&
        context_->report_suspect != nullptr) {
      context_->report_suspect(context_->owner, slot.member_);
    }
  }
  if (waiter == nullptr) {
    connection.close();
    return;
  }
  waiter->on_dialled(failure);
}

void Pool::release(Lease& lease) {
  if (lease.slot == nullptr) return;
  MemberSlot& slot = *lease.slot;
  if (UpstreamConnection* connection = lease.connection) {
    connection->set_tag(nullptr);
    const auto idle_ms = static_cast<std::uint64_t>(settings_->timeouts.idle.count());
    const bool keeps = slot.is_listed_ && !is_closing_ &&
                       slot.member_->connections.load(std::memory_order_relaxed) <=
                           settings_->max_connections_per_upstream;
    if (connection->end_exchange(idle_ms) && keeps) {
      slot.idle_.push_front(*connection);
      ++slot.idle_count_;
    } else if (connection->close_when_sent()) {
      slot.leaving_.push_back(*connection);
    }
  }
  lease = {};
  --slot.leased_;
  // Sequentially consistent, as in mark_waiting(): either we see that somebody waits, or he sees the room.
  slot.member_->in_flight.fetch_sub(1);
  const std::uint64_t own = std::uint64_t{1} << context_->thread;
  const std::uint64_t waiting = slot.member_->waiting_threads.load();
  // Threads that wait take turns, or one that holds all connections would keep them for ever.
  const bool others_wait = (waiting & ~own) != 0 && context_->wake_thread != nullptr;
  is_others_turn_ = others_wait && (queued_ == 0 || !is_others_turn_);
  if (is_others_turn_) {
    wake_other(waiting & ~own);
  } else if (queued_ > 0) {
    wake_one();
  }
  if (!slot.is_listed_ && slot.open_ == 0 && slot.leased_ == 0) forget(slot);
}

void Pool::close_connection(MemberSlot& slot, UpstreamConnection& connection) {
  if (connection.base::ListHook<http::H1Client>::is_linked()) {
    connection.base::ListHook<http::H1Client>::unlink();
    --slot.idle_count_;
  }
  connection.close();
}

// Who has been let in is not turned away when it was woken for nothing.
bool Pool::wait(PoolWaiter& waiter, bool again) {
  const std::uint32_t before = share_->pending.fetch_add(1, std::memory_order_relaxed);
  if (before >= settings_->overload.max_pending && !again) {
    share_->pending.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  if (again && !is_going_round_) {
    queue_.push_front(waiter);
  } else {
    queue_.push_back(waiter);
  }
  ++queued_;
  mark_waiting(true);
  return true;
}

void Pool::leave_queue(PoolWaiter& waiter) {
  if (!waiter.is_linked()) return;
  waiter.unlink();
  --queued_;
  share_->pending.fetch_sub(1, std::memory_order_relaxed);
  if (queued_ == 0) mark_waiting(false);
}

void Pool::mark_waiting(bool on) {
  const std::uint64_t own = std::uint64_t{1} << context_->thread;
  for (MemberSlot* slot : listed_) {
    std::atomic<std::uint64_t>& threads = slot->member_->waiting_threads;
    if (on) {
      threads.fetch_or(own);
    } else {
      threads.fetch_and(~own);
    }
  }
  if (on) std::atomic_thread_fence(std::memory_order_seq_cst);  // before the look that follows
}

void Pool::wake_one() {
  PoolWaiter* waiter = queue_.front();
  if (waiter == nullptr) return;
  leave_queue(*waiter);
  waiter->on_room();
}

void Pool::wake_other(std::uint64_t threads) {
  // The next one above this thread, around: so everybody's turn comes.
  const std::uint64_t above = threads & ~((std::uint64_t{2} << context_->thread) - 1);
  const int thread = __builtin_ctzll(above != 0 ? above : threads);
  context_->wake_thread(context_->owner, static_cast<std::size_t>(thread));
}

void Pool::wake_waiters() {
  if (queued_ == 0) {
    pass_turn_on();
    return;
  }
  // Each may fail to find room and queue again, at the end: the round keeps their order.
  is_going_round_ = true;
  for (std::size_t count = queued_; count > 0 && queued_ > 0; --count)
    wake_one();
  is_going_round_ = false;
}

// The turn was given to this thread, whose last waiter has left meanwhile.
void Pool::pass_turn_on() {
  if (share_->pending.load(std::memory_order_relaxed) == 0 || context_->wake_thread == nullptr) {
    return;
  }
  mark_waiting(false);  // a mark of members that were listed anew may be left
  std::uint64_t waiting = 0;
  for (const MemberSlot* slot : listed_)
    waiting |= slot->member_->waiting_threads.load(std::memory_order_relaxed);
  waiting &= ~(std::uint64_t{1} << context_->thread);
  if (waiting != 0) wake_other(waiting);
}

void Pool::close_idle_of(MemberSlot& slot) {
  while (UpstreamConnection* connection = slot.idle_.pop_front()) {
    --slot.idle_count_;
    connection->close();
  }
}

void Pool::close_idle() {
  is_closing_ = true;
  for (auto& slot : slots_)
    close_idle_of(*slot);
}

void Pool::close_all() {
  close_idle();
  for (auto& slot : slots_) {
    while (UpstreamConnection* connection = slot->leaving_.pop_front())
      connection->close();
  }
}

bool Pool::has_open_connections() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const auto& slot) { return slot->open_ > 0 || slot->leased_ > 0; });
}

}  // namespace portunus::proxy
