// The connections of one thread to the members of one pool: lent to attempts, kept alive, reused
// most recent first; and the bounded queue of attempts that wait because every member is full.
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
#include "proxy/balancer.h"
#include "proxy/member_list.h"

namespace portunus::proxy {

class Pool;

// The one place that names the protocol spoken to members.
using UpstreamConnection = http::H1Client;

// What all pools of one thread share. Outlives them.
struct PoolContext {
  net::Loop& loop;
  http::H1ClientContext& clients;
  base::Slab<UpstreamConnection>& connections;
  Random& random;
  std::size_t thread = 0;  // bit in Member::waiting_threads
  // Wakes a waiter of another thread (posts to its loop).
  void (*wake_thread)(void* owner, std::size_t thread) = nullptr;
  // A member refused a connection: the prober should look soon.
  void (*report_suspect)(void* owner, const SharedMember& member) = nullptr;
  void* owner = nullptr;
  std::size_t open_connections = 0;  // of all pools of the thread, for the descriptor budget
};

// Waits for a connection. Unlinks itself when destroyed.
class PoolWaiter : public base::ListHook<PoolWaiter> {
 public:
  // A connection that was dialled for this waiter stands, or failed. Never synchronous.
  virtual void on_dialled(base::Error failure) = 0;
  // A member may have room again: pick anew.
  virtual void on_room() = 0;

 protected:
  ~PoolWaiter() = default;
};

// One member as this thread sees it. Lives as long as it is listed or has connections.
class MemberSlot final : public http::H1ClientOwner {
 public:
  MemberSlot(Pool& pool, SharedMember member);

  [[nodiscard]] health::Member& member() { return *member_; }

 private:
  friend class Pool;
  void on_client_connected(http::H1Client& client, base::Error failure) override;
  void on_client_stale(http::H1Client& client) override;
  void on_client_gone(http::H1Client& client) override;

  Pool* pool_;
  SharedMember member_;
  base::IntrusiveList<UpstreamConnection, UpstreamConnection> idle_;     // most recent first
  base::IntrusiveList<UpstreamConnection, UpstreamConnection> leaving_;  // tunnels' last bytes
  std::uint32_t idle_count_ = 0;
  std::uint32_t open_ = 0;    // connections, also those being opened or closed
  std::uint32_t leased_ = 0;  // leases that point here
  bool is_listed_ = true;
};

// A connection on loan, counted in Member::in_flight while held.
struct Lease {
  MemberSlot* slot = nullptr;
  UpstreamConnection* connection = nullptr;
  bool is_reused = false;
};

struct LeaseWish {
  bool is_repeatable = true;  // else a kept connection is looked at before it is used
  bool needs_fresh = false;   // no kept connection
};

class Pool final {
 public:
  Pool(PoolContext& context, std::string name);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Takes over settings and members of a new generation; both outlive their use here.
  void configure(const conf::Pool& settings, SharedMemberList members, SharedPoolShare share);
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const conf::Pool& settings() const { return *settings_; }
  // The same settings as another generation has them, or its own, when theirs is going.
  void move_settings(const conf::Pool& settings) { settings_ = &settings; }
  // No generation names it any more: what they owned is not touched again.
  void retire();

  // Chooses a member and counts the request there. On `picked` the lease has a slot, and either a
  // connection that is ready, or none: then dial().
  [[nodiscard]] PickResult lease(const PickInput& input, LeaseWish wish, Lease& lease);
  // Opens a connection for the lease; on_dialled() follows.
  void dial(Lease& lease, PoolWaiter& waiter);
  // Gives a lease back; the connection is kept, or closed when it cannot carry another request.
  void release(Lease& lease);
  // Joins the queue, first come, first served (`again`: it has been woken for nothing and keeps its
  // turn); false when it is full. The waiter bounds its own time.
  [[nodiscard]] bool wait(PoolWaiter& waiter, bool again);
  void leave_queue(PoolWaiter& waiter);
  // Somebody released a connection of a member on another thread.
  void wake_waiters();
  // Closes idle connections, e.g. because the pool has left the configuration.
  void close_idle();
  // Also those that only wait for their last bytes to leave: the thread ends.
  void close_all();
  [[nodiscard]] std::size_t queue_length() const { return queued_; }
  // While true the pool must not be destroyed.
  [[nodiscard]] bool has_open_connections() const;
  // How many of the thread's generations name it.
  std::uint32_t uses = 0;

 private:
  friend class MemberSlot;
  void adopt(SharedPoolShare share);
  void on_dialled(MemberSlot& slot, UpstreamConnection& connection, base::Error failure);
  void close_connection(MemberSlot& slot, UpstreamConnection& connection);
  void forget(MemberSlot& slot);
  void drop_unlisted();
  void close_idle_of(MemberSlot& slot);
  void wake_one();
  void wake_other(std::uint64_t threads);
  void pass_turn_on();
  void mark_waiting(bool on);

  PoolContext* context_;
  std::string name_;
  const conf::Pool* settings_ = nullptr;
  SharedMemberList members_;
  SharedPoolShare share_;
  std::unique_ptr<Balancer> balancer_;
  std::vector<MemberSlot*> listed_;                 // aligned with members_->entries
  std::vector<std::unique_ptr<MemberSlot>> slots_;  // listed ones and those with connections left
  base::IntrusiveList<PoolWaiter, PoolWaiter> queue_;  // first come, first served
  std::size_t queued_ = 0;
  bool is_closing_ = false;
  bool is_others_turn_ = false;  // the last release woke another thread
  bool is_going_round_ = false;  // wake_waiters() is waking each once
};

}  // namespace portunus::proxy
