// Who waits at a pool, what becomes of room that is given back, and who is woken.
#include "proxy/pool.h"

#include <algorithm>

#include "base/clock.h"

namespace portunus::proxy {
namespace {

// Requests that may always be sent again at the same time, however few there are.
constexpr std::size_t kRetriesFloor = 3;

}  // namespace

bool Pool::is_at_bound() const {
  const std::uint32_t bound = share_->bound(settings_->overload);
  return bound != 0 && share_->requests.load(std::memory_order_relaxed) >= bound;
}

// Looks and counts in one step: what another thread counted for a moment only would be taken for a
// pool that is full, by somebody whom nobody wakes afterwards.
bool Pool::take_place(Lease& lease) {
  const std::uint32_t bound = share_->bound(settings_->overload);
  lease.has_place = false;
  if (bound == 0) return true;
  std::uint32_t count = share_->requests.load(std::memory_order_relaxed);
  do {
    if (count >= bound) return false;
  } while (!share_->requests.compare_exchange_weak(count, count + 1));
  ++places_;
  lease.has_place = true;
  return true;
}

// So that the limit may rise.
PickResult Pool::hold_back() {
  if (settings_->overload.adaptive.is_on) share_->held_back.fetch_add(1, std::memory_order_relaxed);
  return PickResult::all_full;
}

void Pool::note_latency(std::uint64_t latency_ns) {
  if (!settings_->overload.adaptive.is_on) return;
  share_->latency_ns.fetch_add(latency_ns, std::memory_order_relaxed);
  share_->answers.fetch_add(1, std::memory_order_relaxed);
}

void Pool::give_place(Lease& lease) {
  lease.has_place = false;
  --places_;
  share_->requests.fetch_sub(1);
}

bool Pool::can_lease(const PickInput& input) {
  std::size_t index = 0;
  return balancer_->pick(input, context_->random, index) == PickResult::picked;
}

// Who has been let in is not turned away when it was woken for nothing.
bool Pool::wait(PoolWaiter& waiter, WaitFor what, bool again) {
  const std::uint32_t before = share_->pending.fetch_add(1, std::memory_order_relaxed);
  if (before >= settings_->overload.max_pending && !again) {
    share_->pending.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  waiter.waits_for = what;
  switch (what) {
    case WaitFor::room:
      if (again && is_offering_) {
        passed_over_.push_back(waiter);
      } else {
        queue_.push_back(waiter);
      }
      ++queued_;
      share_->queued.fetch_add(1, std::memory_order_relaxed);
      mark_waiting(true);
      return true;
    case WaitFor::member:
      member_queue_.push_back(waiter);
      ++member_waiters_;
      return true;
    case WaitFor::budget:
      budget_queue_.push_back(waiter);
      ++budget_waiters_;
      return true;
  }
  return true;
}

void Pool::leave_queue(PoolWaiter& waiter) {
  if (!waiter.is_linked()) return;
  waiter.unlink();
  share_->pending.fetch_sub(1, std::memory_order_relaxed);
  switch (waiter.waits_for) {
    case WaitFor::room:
      share_->queued.fetch_sub(1, std::memory_order_relaxed);
      if (--queued_ == 0) mark_waiting(false);
      return;
    case WaitFor::member:
      --member_waiters_;
      return;
    case WaitFor::budget:
      --budget_waiters_;
      return;
  }
}

// Each may find that there is still nobody for it, and wait again, at the end.
void Pool::wake_for_members() {
  for (std::size_t count = member_waiters_; count > 0 && member_waiters_ > 0; --count) {
    PoolWaiter* waiter = member_queue_.front();
    leave_queue(*waiter);
    waiter->on_woken();
  }
}

bool Pool::has_retry_room() const {
  const double share = static_cast<double>(requests_) * settings_->retry.budget_ratio;
  return retries_ < std::max(kRetriesFloor, static_cast<std::size_t>(share));
}

bool Pool::take_retry() {
  if (!has_retry_room()) return false;
  ++retries_;
  return true;
}

void Pool::give_retry() {
  --retries_;
  wake_for_budget();
}

// Who is woken may give its place back at once, which comes here again: one loop for all of them.
void Pool::wake_for_budget() {
  if (is_giving_budget_ || settings_ == nullptr) return;
  is_giving_budget_ = true;
  for (std::size_t count = budget_waiters_; count > 0 && budget_waiters_ > 0 && has_retry_room();
       --count) {
    PoolWaiter* waiter = budget_queue_.front();
    leave_queue(*waiter);
    waiter->on_woken();
  }
  is_giving_budget_ = false;
}

void Pool::mark_waiting(bool on) {
  const std::uint64_t own = std::uint64_t{1} << context_->thread;
  const auto mark = [own, on](std::atomic<std::uint64_t>& threads) {
    if (on) {
      threads.fetch_or(own);
    } else {
      threads.fetch_and(~own);
    }
  };
  for (MemberSlot* slot : listed_)
    mark(slot->member_->waiting_threads);
  mark(share_->waiting_threads);
  if (on) std::atomic_thread_fence(std::memory_order_seq_cst);  // before the look that follows
}

void Pool::release(Lease& lease) {
  if (lease.slot == nullptr) return;
  MemberSlot& slot = *lease.slot;
  if (lease.is_trial) give_trial(slot);
  if (lease.stream != nullptr) {
    const bool is_wanted =
        slot.is_listed_ && !slot.is_draining_ && !is_closing_ && lease.from == &connections(slot);
    const bool has_place =
        !context_->is_crowded && slot.member_->connections.load(std::memory_order_relaxed) <=
                                     settings_->max_connections_per_upstream;
    lease.from->take_back(*lease.stream, {is_wanted, has_place, tls_.get(),
                                          base::whole_ms(settings_->timeouts.idle)});
  }
  const std::uint64_t waiting = others_that_wait(*slot.member_, lease.has_place);
  // Threads that wait take turns, or one that holds all connections would keep them for ever.
  is_others_turn_ = waiting != 0 && (queued_ == 0 || !is_others_turn_);
  if (is_others_turn_) {
    if (lease.has_place) --places_;
    wake_other(waiting, {.pool = share_, .member = slot.member_, .has_place = lease.has_place});
    lease = {};
    --slot.leased_;
  } else {
    leave_room(lease);
  }
  if (!slot.is_listed_ && slot.open_ == 0 && slot.leased_ == 0) forget(slot);
}

// For this thread's own waiters, or anybody.
void Pool::leave_room(Lease& lease) {
  MemberSlot& slot = *lease.slot;
  const bool had_place = lease.has_place;
  if (had_place) give_place(lease);
  lease = {};
  // Sequentially consistent, as in mark_waiting(): either we see that somebody waits, or he sees the room.
  const bool was_last = slot.member_->in_flight.fetch_sub(1) == 1;
  if (was_last) tell_idle(*slot.member_);
  if (queued_ > 0) {
    offer(1, kLooksMax);
  } else if (const std::uint64_t waiting = others_that_wait(*slot.member_, had_place);
             waiting != 0) {
    wake_other(waiting, {.pool = share_});
  }
  --slot.leased_;  // it may be forgotten from here on
}

void Pool::tell_idle(const health::Member& member) {
  if (member.is_leaving() && context_->report_idle != nullptr) {
    context_->report_idle(context_->owner);
  }
}

// Wakes one after the other until the room is used; those who had none of it keep their turns. Who
// has got in may be out again at once, which comes here again: one loop for all of them.
void Pool::offer(std::size_t rooms, std::size_t looks) {
  rooms_ += rooms;
  if (is_offering_) return;
  is_offering_ = true;
  for (; rooms_ > 0 && looks > 0 && !queue_.empty(); --looks) {
    PoolWaiter* waiter = queue_.front();
    const std::uint64_t before = leases_;
    leave_queue(*waiter);
    waiter->on_woken();
    if (leases_ != before) --rooms_;
  }
  const bool is_left = rooms_ > 0;
  rooms_ = 0;
  is_offering_ = false;
  if (is_left) {
    queue_.take_all(passed_over_);  // or the next room would be offered to the same ones
    return;
  }
  passed_over_.take_all(queue_);
  queue_.take_all(passed_over_);
}

// As bits; without this one. Who waits for a place may do so without this member in its list.
std::uint64_t Pool::others_that_wait(const health::Member& member, bool has_place) const {
  if (context_->wake_thread == nullptr) return 0;
  const std::uint64_t waiting = member.waiting_threads.load() |
                                (has_place ? share_->waiting_threads.load() : std::uint64_t{0});
  return waiting & ~(std::uint64_t{1} << context_->thread);
}

void Pool::wake_other(std::uint64_t threads, PoolTurn turn) {
  // The next one above this thread, around: so everybody's turn comes.
  const std::uint64_t above = threads & ~((std::uint64_t{2} << context_->thread) - 1);
  const int thread = __builtin_ctzll(above != 0 ? above : threads);
  context_->wake_thread(context_->owner, static_cast<std::size_t>(thread), std::move(turn));
}

void Pool::wake_waiters() {
  if (queued_ == 0) {
    pass_turn_on();
    return;
  }
  offer(queued_, queued_);
}

void Pool::take_turn(const PoolTurn& turn) {
  if (settings_ == nullptr) return;
  if (turn.pool != share_) {
    // A reload gave the pool another share since: it is theirs all the same.
    if (turn.member != nullptr && turn.member->pool == name_) wake_waiters();
    return;
  }
  const std::uint64_t before = leases_;
  if (turn.member == nullptr || queued_ == 0) {
    wake_waiters();
    return;
  }
  offer(1, kLooksMax);
  if (leases_ != before) return;
  // Nobody here has a use for it.
  const std::uint64_t waiting = others_that_wait(*turn.member, turn.has_place);
  for (std::uint64_t left = waiting; left != 0; left &= left - 1)
    wake_other(left & -left, {.pool = share_});
}

// The turn was given to this thread, whose last waiter has left meanwhile.
void Pool::pass_turn_on() {
  if (share_->pending.load(std::memory_order_relaxed) == 0 || context_->wake_thread == nullptr) {
    return;
  }
  mark_waiting(false);  // a mark of members that were listed anew may be left
  std::uint64_t waiting = share_->waiting_threads.load(std::memory_order_relaxed);
  for (const MemberSlot* slot : listed_)
    waiting |= slot->member_->waiting_threads.load(std::memory_order_relaxed);
  waiting &= ~(std::uint64_t{1} << context_->thread);
  if (waiting != 0) wake_other(waiting, {.pool = share_});
}

}  // namespace portunus::proxy
