// One data-plane thread: its loop, doors, pools, exchanges and generations. Commands from the
// control thread arrive as posted tasks; what it tells goes back the same way (WorkerEvents are
// called on the worker's thread and must only post). Owned by the control thread, which starts and
// joins it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "http/h2_shared.h"
#include "proxy/access_log.h"
#include "proxy/door.h"
#include "proxy/exchange.h"
#include "proxy/generation.h"
#include "proxy/metrics.h"
#include "proxy/overload_watch.h"

namespace portunus::proxy {

// All on the worker's thread.
class WorkerEvents {
 public:
  // It runs on that generation from now on.
  virtual void on_generation_applied(std::size_t worker, std::uint64_t number) = 0;
  // It has let go of a generation; freeing it is not for the data path.
  virtual void on_generation_unused(SharedGeneration generation) = 0;
  // It has taken the lists of that round, and acts on every state set before it (MemberSwaps).
  virtual void on_members_swapped(std::size_t worker, std::uint64_t round) = 0;
  // A member that drains has nothing in flight, on any thread.
  virtual void on_member_idle() = 0;
  virtual void on_suspect(const SharedMember& member) = 0;
  // What its requests tell of it should be looked at.
  virtual void on_conduct(const SharedMember& member) = 0;
  // Every connection is gone and the loop is about to end.
  virtual void on_drained(std::size_t worker) = 0;
  // A request has left room that requests of that worker wait for.
  virtual void give_turn(std::size_t worker, PoolTurn turn) = 0;
  // A connection of a listener ended that other threads may accept another one for.
  virtual void wake_doors() = 0;

 protected:
  ~WorkerEvents() = default;
};

// New lists of some pools.
struct MemberSwaps {
  struct Swap {
    std::size_t pool;  // index in the generation
    SharedMemberList members;
  };
  std::uint64_t round = 0;       // counts from 1
  std::uint64_t generation = 0;  // its number
  std::vector<Swap> swaps;
};

class Worker final : public DoorOwner {
 public:
  struct Setup {
    std::size_t index = 0;
    std::size_t descriptors_max = 1024;  // of this thread's sockets, both sides
    MetricsShard& metrics;
    AccessLogBuffer& access_log;
    WorkerEvents& events;
    PasswordChecker& passwords;
    std::atomic<std::uint64_t>& memory;  // that requests hold, of all threads
  };
  explicit Worker(const Setup& setup);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // ---- from the control thread ----
  void start();
  void join();
  // Runs new exchanges on that generation. sockets[i] is a bound descriptor for a listener that is
  // new, -1 for one that is open already; the worker owns them.
  void apply(SharedGeneration generation, std::vector<int> sockets);
  // Puts these lists in place of those of the generation, which has been applied before;
  // on_members_swapped() follows in any case, unless this is false: the thread has ended.
  bool swap_members(MemberSwaps swaps);
  // Shows clients that come from now on these certificates, made for that generation.
  void swap_tls(SharedTlsSetup tls, std::uint64_t generation);
  void drain();
  void shut_down();
  void take_turn(PoolTurn turn);
  // A member has come up.
  void wake_for_members();
  void resume_doors();
  // The control thread swaps the metrics' memory through this (MetricsShard::compact).
  net::Loop& loop() { return loop_; }
  // How short it is; to be read by any thread.
  [[nodiscard]] const PressureBoard& pressure() const { return overload_.board(); }
  [[nodiscard]] std::size_t clients() const { return clients_.load(std::memory_order_relaxed); }

 private:
  class TurnTask;
  void run();
  void apply_now(SharedGeneration generation, const std::vector<int>& sockets);
  void apply_pools(LocalGeneration& local);
  void swap_members_now(const MemberSwaps& swaps);
  void apply_doors(const LocalGeneration& local,
                   LocalGeneration* previous,
                   const std::vector<int>& sockets);
  void drop(LocalGeneration& generation);
  void save_settings(const LocalGeneration& going);
  void drop_unused_pools();
  void drain_now();
  void shut_down_now();
  void end_when_empty();
  void on_tick();
  [[nodiscard]] bool is_full_of_clients() const;
  [[nodiscard]] bool is_full() const;  // clients and members together
  bool close_an_idle_member_connection();
  bool close_an_idle_client();
  void arm_tick();
  void watch_overload();
  void make_room_for_member();
  void set_crowded(bool is_crowded);
  void look_at_crowd();
  void resume_own_doors();
  // DoorOwner
  [[nodiscard]] bool accepts() override { return overload_.accepts(); }
  [[nodiscard]] bool has_room() override;
  void on_client_opened() override;
  void on_client_closed() override;
  void on_share_freed() override;
  void on_door_empty(Door& door) override;

  Setup setup_;
  net::Loop loop_;
  Random random_;
  base::Slab<http::Inbound> inbounds_;
  http::H2Shared h2_;
  base::Slab<http::ServerConnection> servers_;
  base::Slab<http::H1Client> h1_connections_;
  base::Slab<Exchange> exchanges_;
  http::ClientContext clients_context_;
  PoolContext pool_context_;
  Credentials credentials_;
  ExchangeContext exchange_context_;
  OverloadWatch overload_;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::vector<std::unique_ptr<LocalGeneration>> generations_;  // the current one last
  std::vector<std::unique_ptr<Door>> doors_;
  net::Deadline tick_;
  std::uint64_t tick_due_ms_ = 0;
  std::atomic<std::size_t> clients_{0};  // written by this thread only
  bool has_unused_pools_ = false;
  bool is_crowded_ = false;        // somebody waits for a descriptor
  bool has_accepted_ = true;       // at the last tick, no overload kept clients out
  std::size_t next_to_close_ = 0;  // the pool whose idle connections go next
  bool is_draining_ = false;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace portunus::proxy
