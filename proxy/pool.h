// The connections of one thread to the members of one pool: lent to attempts, kept alive, reused
// most recent first; and the bounded queues of attempts that wait: for room (every member is full),
// for a member (none is up, or all that are have been tried), or for a place in the retry budget.
// Survives reloads as long as a generation names the pool: connections stay, settings and members
// are replaced. Owned by the worker. One thread; what threads share is in health::Member.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/intrusive_list.h"
#include "base/slab.h"
#include "conf/model.h"
#include "http/h1_client.h"
#include "net/tls_client.h"
#include "proxy/balancer.h"
#include "proxy/h1_connections.h"
#include "proxy/h2_connections.h"
#include "proxy/member_list.h"
#include "proxy/sticky.h"

namespace portunus::proxy {

class Pool;

// What all pools of one thread share. Outlives them.
struct PoolContext {
  net::Loop& loop;
  http::ClientContext& clients;
  base::Slab<http::H1Client>& h1_connections;
  Random& random;
  std::size_t thread = 0;  // bit in Member::waiting_threads
  // Another thread is to take_turn() (posts to its loop).
  void (*wake_thread)(void* owner, std::size_t thread, PoolTurn turn) = nullptr;
  // A member refused a connection: the prober should look soon.
  void (*report_suspect)(void* owner, const SharedMember& member) = nullptr;
  // What traffic says about a member should be looked at (health/conduct.h).
  void (*report_conduct)(void* owner, const SharedMember& member) = nullptr;
  // About to open one more connection: the thread's descriptors may be at their bound.
  void (*make_room)(void* owner) = nullptr;
  // The last request of all threads at a member that drains has ended.
  void (*report_idle)(void* owner) = nullptr;
  // A descriptor is free again that clients wait for.
  void (*room_freed)(void* owner) = nullptr;
  void* owner = nullptr;
  std::size_t open_connections = 0;  // of all pools of the thread, for the descriptor budget
  bool is_crowded = false;           // no connection is kept: clients wait for its descriptor
};

enum class WaitFor : std::uint8_t {
  room,    // at a member: who releases a connection wakes the first
  member,  // that comes up, or is listed anew: wakes all
  budget,  // to be sent again: the end of another such request wakes the first
};

// Waits for a connection. To leave_queue() before it is destroyed.
class PoolWaiter : public base::ListHook<PoolWaiter> {
 public:
  // A connection that was dialled for this waiter stands, or failed. Never synchronous.
  virtual void on_dialled(base::Error failure) = 0;
  // What it waits for may be there: it has left the queue.
  virtual void on_woken() = 0;

  WaitFor waits_for = WaitFor::room;  // the pool's note

 protected:
  ~PoolWaiter() = default;
};

// One member as this thread sees it. Lives as long as it is listed or has connections.
class MemberSlot final : private ConnectionsOwner {
 public:
  MemberSlot(Pool& pool, SharedMember member);

  [[nodiscard]] health::Member& member() { return *member_; }
  // What a sticky pool's cookie names it by; 0: no client is to come back to it.
  [[nodiscard]] std::uint64_t sticky_id() const {
    return is_listed_ && !is_draining_ ? sticky_id_ : 0;
  }

 private:
  friend class Pool;
  void on_opening() override;
  void on_dialled(PoolWaiter& waiter, base::Error failure) override;
  void on_dial_failed(base::Error failure) override;
  void on_gone() override;

  Pool* pool_;
  SharedMember member_;
  H1Connections h1_;
  H2Connections h2_;
  std::uint32_t open_ = 0;    // connections, also those being opened or closed
  std::uint32_t leased_ = 0;  // leases that point here
  std::uint64_t sticky_id_ = 0;
  bool is_listed_ = true;
  bool is_draining_ = false;  // keeps no connection
  net::TlsTarget tls_;
  net::TlsResumption resumption_;
  std::uint64_t tls_told_ns_ = 0;  // when the log last had a failure of TLS with it
};

// A way to a member on loan, counted in Member::in_flight while held.
struct Lease {
  MemberSlot* slot = nullptr;
  http::ClientStream* stream = nullptr;
  Connections* from = nullptr;  // whose stream it is
  bool is_reused = false;       // of a connection that had stood before
  bool is_trial = false;        // one of the few that a member gets which has been out
  bool has_place = false;       // counted in PoolShare::requests
};

class Pool final {
 public:
  Pool(PoolContext& context, std::string name);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Takes over settings and members of a new generation; both outlive their use here. `tls`: null in
  // the clear; with another one than before no connection that stands carries another request.
  // `secret`: what cookies of a sticky pool are signed with that has none; always the same.
  void configure(const conf::Pool& settings,
                 SharedMemberList members,
                 SharedPoolShare share,
                 net::SharedTlsClient tls = nullptr,
                 std::string_view secret = {});
  // The members alone have changed.
  void set_members(SharedMemberList members);
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const conf::Pool& settings() const { return *settings_; }
  // The same settings as another generation has them, or its own, when theirs is going.
  void move_settings(const conf::Pool& settings) { settings_ = &settings; }
  // No generation names it any more: what they owned is not touched again.
  void retire();

  // Chooses a member and counts the request there. On `picked` the lease has a slot, and either a
  // stream that is ready, or none: then dial().
  [[nodiscard]] PickResult lease(const PickInput& input, LeaseWish wish, Lease& lease);
  // Opens a connection for the lease; on_dialled() follows. `client`: for whom, which the member is told
  // where the pool's `proxy_protocol` says so; such a connection carries one request.
  void dial(Lease& lease, PoolWaiter& waiter, const http::ClientInfo& client = {});
  // How the lease's request has gone, once it is known; again when an answer that went well breaks off.
  void note(Lease& lease, health::Outcome outcome);
  // How long an answer, or the time-out in its place, has taken to begin (`overload.adaptive`).
  void note_latency(std::uint64_t latency_ns);
  // Gives a lease back; its connection is kept, or closed when it cannot carry another request.
  void release(Lease& lease);
  // Nobody can be picked, and it is circuit breakers that say so.
  [[nodiscard]] bool is_broken() const;
  // As many requests are at members as `overload` allows, whoever has room.
  [[nodiscard]] bool is_at_bound() const;
  // Whether there is somebody to lease from at once.
  [[nodiscard]] bool can_lease(const PickInput& input);
  // Null when no cookie keeps clients with their members.
  [[nodiscard]] Sticky* sticky() { return sticky_.get(); }
  // Whether the client's own member takes requests, though it may be full at the moment.
  [[nodiscard]] bool keeps_client(const PickInput& input) const;
  // Joins the queue, first come, first served (`again`: it has been woken for nothing and keeps its
  // turn); false when it is full. The waiter bounds its own time.
  [[nodiscard]] bool wait(PoolWaiter& waiter, WaitFor what, bool again);
  void leave_queue(PoolWaiter& waiter);
  // There may be room now for any number of them.
  void wake_waiters();
  // A request of another thread has left room, which has been let go just now.
  void take_turn(const PoolTurn& turn);
  // A member has come up.
  void wake_for_members();
  // The retry budget: how many of the thread's requests in the pool may be on their way for a second
  // time. Counted per thread: the kernel spreads clients evenly, and no line of memory is shared.
  void request_began() { ++requests_; }
  void request_ended() { --requests_; }
  [[nodiscard]] bool take_retry();
  void give_retry();
  // Closes the idle connection that its member has kept for longest; false: none is idle.
  bool close_an_idle_one();
  // Closes idle connections, e.g. because the pool has left the configuration.
  void close_idle();
  // Also those that only wait for their last bytes to leave: the thread ends.
  void close_all();
  // Hands what was counted here to what all threads share. Now and then.
  void tell_counts();
  [[nodiscard]] std::size_t queue_length() const { return waiting(); }
  // While true the pool must not be destroyed.
  [[nodiscard]] bool has_open_connections() const;
  // How many of the thread's generations name it.
  std::uint32_t uses = 0;

 private:
  friend class MemberSlot;
  // Of those that wait, how many may find that what has become free is of no use to them.
  static constexpr std::size_t kLooksMax = 16;

  [[nodiscard]] PickResult pick(const PickInput& input, std::size_t& index);
  [[nodiscard]] PickResult pick_own_first(const PickInput& input, std::size_t& index);
  void tell_conduct(const SharedMember& member);
  void give_trial(MemberSlot& slot);
  [[nodiscard]] bool take_place(Lease& lease);
  [[nodiscard]] PickResult hold_back();
  void give_place(Lease& lease);
  void leave_room(Lease& lease);
  void adopt(SharedPoolShare share);
  void use_tls(MemberSlot& slot);
  void tell_tls_failure(MemberSlot& slot, base::Error failure);
  void on_dial_failed(MemberSlot& slot, base::Error failure);
  void on_gone(MemberSlot& slot);
  [[nodiscard]] Connections& connections(MemberSlot& slot) const;
  [[nodiscard]] std::size_t introduce(const http::ClientInfo& client, std::span<char> text) const;
  void forget(MemberSlot& slot);
  void close_unwanted();
  void close_idle_of(MemberSlot& slot);
  void offer(std::size_t rooms, std::size_t looks);
  [[nodiscard]] std::uint64_t others_that_wait(const health::Member& member, bool has_place) const;
  void wake_other(std::uint64_t threads, PoolTurn turn);
  void pass_turn_on();
  void tell_idle(const health::Member& member);
  void mark_waiting(bool on);
  [[nodiscard]] std::size_t waiting() const { return queued_ + member_waiters_ + budget_waiters_; }
  [[nodiscard]] bool has_retry_room() const;
  void wake_for_budget();

  PoolContext* context_;
  std::string name_;
  const conf::Pool* settings_ = nullptr;
  SharedMemberList members_;
  SharedPoolShare share_;
  net::SharedTlsClient tls_;  // null: in the clear
  std::unique_ptr<Balancer> balancer_;
  std::unique_ptr<Sticky> sticky_;                  // null: not sticky
  std::vector<MemberSlot*> listed_;                 // aligned with members_->entries
  std::vector<std::unique_ptr<MemberSlot>> slots_;  // listed ones and those with connections left
  base::IntrusiveList<PoolWaiter, PoolWaiter> queue_;  // first come, first served
  // Those that have just been woken for nothing: they keep their turns.
  base::IntrusiveList<PoolWaiter, PoolWaiter> passed_over_;
  std::size_t queued_ = 0;  // in both
  base::IntrusiveList<PoolWaiter, PoolWaiter> member_queue_;
  std::size_t member_waiters_ = 0;
  base::IntrusiveList<PoolWaiter, PoolWaiter> budget_queue_;
  std::size_t budget_waiters_ = 0;
  std::size_t requests_ = 0;  // of this thread, those that wait too
  std::uint32_t places_ = 0;  // of PoolShare::requests: this thread's
  std::size_t retries_ = 0;   // of these: being sent again
  bool is_closing_ = false;
  bool is_others_turn_ = false;  // the last release woke another thread
  bool is_offering_ = false;     // offer() is waking one after the other
  std::size_t rooms_ = 0;        // that it has left to offer
  std::uint64_t leases_ = 0;     // ever made
  bool is_giving_budget_ = false;
};

}  // namespace portunus::proxy
