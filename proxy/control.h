// The control thread: owns the workers, loads configurations and publishes generations, probes
// members, serves the admin API, handles signals, and ends the process. The process's main thread.
// Everything here is on that thread but the WorkerEvents, which only post.
//
// Members that come and go (control_members.cc) need no reload: the lists of the pools concerned are
// swapped on each thread, between two turns.
//
//   starting --first probes in, workers run--> ready
//   ready --TERM, INT--> announcing --announce--> draining
//   draining --all exchanges done | drain time over | second signal--> ended
//
//   reload: idle --request--> loading (thread pool) --valid--> probing new members
//           probing --first results or 1 s--> applying --every worker runs on it--> idle
//           any failure --> idle, nothing changed
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/counter.h"
#include "conf/load.h"
#include "discovery/source.h"
#include "health/prober.h"
#include "health/traffic_judge.h"
#include "http/fetch.h"
#include "net/loop.h"
#include "proxy/access_log.h"
#include "proxy/admin_source.h"
#include "proxy/concurrency_keeper.h"
#include "proxy/file_watch.h"
#include "proxy/generation_builder.h"
#include "proxy/member_memory.h"
#include "proxy/metrics.h"
#include "proxy/replica_link.h"
#include "proxy/revocation_keeper.h"
#include "proxy/service_orders.h"
#include "proxy/services_board.h"
#include "proxy/staple_keeper.h"
#include "proxy/sticky_secret.h"
#include "proxy/tls_keeper.h"
#include "proxy/worker.h"
#include "supervisor/link.h"
#include "supervisor/notify.h"
#include "supervisor/signals.h"
#include "supervisor/sockets.h"

namespace portunus::proxy {

class Admin;

struct RunOptions {
  std::string config_file;
  std::uint32_t threads = 0;   // instead of the configuration's; 0 = that
  int channel = -1;            // to the supervisor; -1 = none
  int files = -1;              // a conf::SealedFiles to start on; -1 = the files on the disk
  std::uint64_t tried_us = 0;  // those that have not changed since this time are let be; 0 = no
  std::string state = {};      // folder for what outlives a restart; empty = the default
};

// Runs the front door until a signal or the supervisor ends it; the process's exit status.
int run_proxy(const RunOptions& options);

class Control final : public AdminSource,
                      public WorkerEvents,
                      public health::ProberEvents,
                      public health::JudgeEvents,
                      public supervisor::SignalHandler,
                      public supervisor::LinkHandler,
                      public FileWatchHandler,
                      public StapleEvents,
                      public RevocationEvents,
                      public discovery::ConsulEvents {
 public:
  explicit Control(const RunOptions& options);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  int run();

  // Replicas of services (control_members.cc). The loop is for whoever brings the news of them.
  [[nodiscard]] net::Loop& loop() { return loop_; }
  void set_member_events(MemberEvents* events) { member_events_ = events; }
  // All of them, from now on; what is not named has gone. Before run() or in a turn of the loop.
  void set_service_members(const std::vector<ServiceMembers>& services);

  // AdminSource (control_views.cc)
  [[nodiscard]] std::string_view not_ready_reason() const override;
  [[nodiscard]] std::string metrics_text() override;
  [[nodiscard]] StatusView status() const override;
  [[nodiscard]] std::vector<PoolView> pools() const override;
  [[nodiscard]] std::expected<Explanation, std::string> explain(
      const ExplainQuestion& question) const override;
  [[nodiscard]] std::vector<CertificateView> certificates() const override;
  [[nodiscard]] std::string authority_file() const override { return tls_.root_file(); }
  [[nodiscard]] std::vector<supervisor::ServiceView> services() const override {
    return services_.views();
  }
  void reload(ReloadWaiter& waiter) override;
  void withdraw(ReloadWaiter& waiter) override;
  // (control_orders.cc)
  [[nodiscard]] std::expected<MemberView, std::string> order(const MemberWish& wish) override;
  void await_drained(const std::string& pool,
                     const std::string& member,
                     DrainWaiter& waiter) override;
  void withdraw(DrainWaiter& waiter) override { std::erase(drain_waiters_, &waiter); }
  [[nodiscard]] bool order_service(const supervisor::ServiceOrder& order,
                                   ServiceOrderWaiter& waiter) override {
    return service_orders_.give(order, waiter);
  }
  void withdraw_order(ServiceOrderWaiter& waiter) override { service_orders_.withdraw(waiter); }

 private:
  static constexpr std::uint64_t kAllRounds = ~std::uint64_t{0};
  static constexpr std::uint64_t kMemoryDelayMs = 1'000;  // what changes together is told together
  enum class State : std::uint8_t { starting, ready, announcing, draining, ended };
  struct LoadJob;
  struct Awaited;
  struct DrainWait {
    DrainWaiter* waiter;
    SharedMember member;
    std::uint64_t round;  // the last one posted when it was asked
    bool operator==(const DrainWaiter* other) const { return waiter == other; }
  };
  // What is counted per member on this side.
  struct ProbeTally {
    std::string_view check = "tcp";
    std::uint64_t passed = 0;
    std::uint64_t failed = 0;
    base::LatencyHistogram duration;
    std::vector<ProbeCounts::Transition> transitions;
  };

  // WorkerEvents, on the workers' threads
  void on_generation_applied(std::size_t worker, std::uint64_t number) override;
  void on_generation_unused(SharedGeneration generation) override;
  void on_members_swapped(std::size_t worker, std::uint64_t round) override;
  void on_member_idle() override;
  void on_suspect(const SharedMember& member) override;
  void on_conduct(const SharedMember& member) override;
  void on_drained(std::size_t worker) override;
  void give_turn(std::size_t worker, PoolTurn turn) override;
  void wake_doors() override;
  void wake_waiters();
  // health::ProberEvents
  void on_transition(const health::Member& member, const health::StateChange& change) override;
  void on_suspicion_ended(const health::Member& member) override;
  void on_probe_done(const health::Member& member,
                     const health::CheckResult& result,
                     std::uint64_t duration_ns) override;
  void on_first_round_done() override;
  // health::JudgeEvents (control_judge.cc)
  void on_judged(const health::Member& member, const health::StateChange& change) override;
  void on_trial_free(const health::Member& member) override;
  // SignalHandler
  void on_signal(int number) override;
  // supervisor::LinkHandler (control_link.cc)
  void on_message(const supervisor::Message& message, std::vector<int> descriptors) override;
  void on_supervisor_gone() override;
  // FileWatchHandler
  void on_files_changed(const ChangedFiles& changed) override;
  // StapleEvents (control_certificates.cc)
  void on_staple_retired(net::SharedStaple staple) override;
  // RevocationEvents (control_certificates.cc)
  void on_revocations_retired(net::SharedRevocationList list) override;

  // discovery::ConsulEvents (control_consul.cc)
  void on_instances(const std::string& key, const discovery::InstanceList& instances) override;
  void on_kept(const discovery::ServiceStatus& status, discovery::KeptReason was) override;
  [[nodiscard]] bool is_alive(const discovery::Instance& instance) override;
  void on_first_lists() override;
  void discover(const conf::Model& next);
  void stand_in(const conf::Model& next);
  void note_discovered_changes();

  [[nodiscard]] bool start();
  [[nodiscard]] conf::LoadResult load_first();
  [[nodiscard]] bool start_workers(const conf::Model& model);
  // Reload (control_reload.cc, control_sockets.cc, control_certificates.cc).
  void request_reload(std::string_view why);
  void note_seen(const conf::LoadResult& loaded);
  [[nodiscard]] bool watch(const conf::LoadResult& loaded);
  [[nodiscard]] std::string tls_folder(const conf::Model& model) const;
  [[nodiscard]] std::string state_folder(const conf::Model& model) const;
  void start_loading(bool only_if_changed);
  void on_loaded(LoadJob& job);
  void show_certificates(SharedTlsSetup setup);
  void keep_staples();
  void swap_certificates(LoadJob& job);
  void renew_internal();
  void prepare(conf::LoadResult loaded, RouteTable routes, ResolvedNames names);
  void build(conf::LoadResult loaded, RouteTable routes, const ResolvedNames& names);
  [[nodiscard]] bool open_sockets(const Generation& generation, std::string& why);
  [[nodiscard]] bool is_listening(const conf::Address& address) const;
  [[nodiscard]] bool open_listener(std::size_t index,
                                   const net::Address& address,
                                   std::string& why);
  void close_new_sockets();
  [[nodiscard]] bool open_outputs(const conf::Model& model, std::string& why);
  void set_targets(const Generation& generation, const std::vector<SharedMemberList>& lists);
  void apply_pending();
  void on_applied(std::uint64_t number);
  void finish_reload(bool ok, const std::string& error);
  void note_copy();
  void end_reload();
  void look_further();
  [[nodiscard]] bool apply_logging(const conf::Model& model, std::string& why);
  // Members that come and go (control_members.cc).
  [[nodiscard]] std::vector<MemberSwaps::Swap> merge_lists(const conf::Model& model,
                                                           std::vector<SharedMemberList>& lists);
  void renew_lists();
  void post_round(const std::vector<MemberSwaps::Swap>& swaps);
  [[nodiscard]] std::uint64_t least_round() const;
  void note_round(std::size_t worker, std::uint64_t round);
  void tell_drained();
  void tell_health(const health::Member& member);
  [[nodiscard]] const MemberEntry* find_entry(const std::string& pool,
                                              const std::string& name) const;
  [[nodiscard]] MemberView view_of(const MemberEntry& entry) const;
  void note_drained();
  void note_orders();
  // What outlives this process (control_memory.cc).
  void recall(int descriptor);
  [[nodiscard]] const RememberedHealth* remembered(const health::Member& member) const;
  void remind(std::vector<health::ProbeTarget>& targets) const;
  void resume_held();
  [[nodiscard]] MemberMemory collect_memory() const;
  void note_change();
  void tell_memory();
  void tell_requests(const std::string& service);
  // (control_slow_start.cc)
  static constexpr std::uint64_t kSlowStartEveryMs = 200;
  void look_at_slow_start();
  void begin_slow_start();
  // (control_concurrency.cc)
  void begin_concurrency();
  void look_at_concurrency();
  // (control_last_resort.cc)
  void look_at_last_resort(const health::Member& member);
  void look_at_last_resorts();
  void look_at_last_resort(std::size_t pool);
  // (control_judge.cc)
  void judge_members();
  void count_transition(const health::Member& member, const health::StateChange& change);
  // Stop.
  void reopen_logs();
  void stop(std::string_view why);
  void end_failed_start();
  void begin_stop();
  void begin_drain();
  void end_now();
  void end();
  void on_worker_ended();
  void on_tick();
  void compact_metrics();
  // What the supervisor or the service manager hears (control_link.cc).
  [[nodiscard]] bool ask_supervisor(conf::LoadResult& loaded,
                                    RouteTable& routes,
                                    ResolvedNames& names);
  [[nodiscard]] bool concerns_supervisor(const conf::Model& model,
                                         const std::string& model_hash) const;
  void on_prepared(bool is_good, const std::string& why);
  void tell_outcome(bool ok);
  void on_settled();
  void on_answer_late();
  void hand_over_files();
  void retire();
  void tell_ready();
  void on_alive_due();
  void dump_state() const;

  RunOptions options_;
  supervisor::Notifier notifier_;  // these two first: there are no threads yet
  supervisor::InheritedSockets inherited_;
  net::Loop loop_;
  Metrics metrics_;
  PasswordChecker passwords_;
  AccessLog access_log_;
  GenerationBuilder builder_;
  TlsKeeper tls_;
  StickySecret sticky_secret_;
  StapleKeeper staples_;
  RevocationKeeper revocations_;
  health::Prober prober_;
  health::TrafficJudge judge_;
  http::Fetcher fetcher_;  // of discovery
  discovery::ConsulSource consul_;
  supervisor::Link link_;
  ReplicaLink replicas_;
  std::string supervisor_hash_;  // of the configuration that it knows
  ServicesBoard services_;
  ServiceOrders service_orders_;
  std::unique_ptr<supervisor::Signals> signals_;
  std::unique_ptr<FileWatch> files_;
  std::unique_ptr<Admin> admin_;
  std::atomic<std::uint64_t> request_memory_{0};  // of all workers
  std::vector<std::unique_ptr<Worker>> workers_;
  SharedGeneration current_;
  SharedTlsSetup tls_setup_;             // of the day; null before the first generation
  std::vector<SharedMemberList> lists_;  // of the day, by current_'s pool index

  // Reload in progress.
  std::shared_ptr<Generation> pending_;
  std::vector<std::vector<int>> pending_sockets_;  // [worker][listener], -1: open already
  conf::SealedFiles files_copy_;                   // of the one that is being applied
  std::string files_hash_;                         // of what is in it
  std::unique_ptr<LoadJob> job_;
  std::unique_ptr<Awaited> awaited_;  // loaded, and the supervisor has been asked for sockets
  bool is_asked_ = false;             // and waits for the outcome
  bool is_settling_ = false;          // it runs; the supervisor has yet to do its part
  net::Deadline answer_due_;
  bool is_reloading_ = false;
  bool is_probing_ = false;    // waits for the first results of new members
  bool awaits_lists_ = false;  // and for the first list of a new query
  bool discovers_ = false;     // some pool wants members from Consul
  bool reload_again_ = false;
  bool look_again_ = false;  // the files have changed while a reload ran
  ChangedFiles changed_;     // since the last load began
  std::size_t applied_ = 0;  // workers that run on current_
  std::uint64_t reload_began_ns_ = 0;
  net::Deadline first_round_;
  std::vector<ReloadWaiter*> waiters_;
  std::vector<ReloadWaiter*> next_waiters_;  // came while a reload was running: for the next one
  ReloadOutcome outcome_;
  std::string seen_hash_;                // of the files as they were last tried
  bool lets_seen_be_ = false;            // they have ended the proxy too often
  std::string seen_certificates_;        // the same of certificates
  std::vector<std::string> seen_files_;  // those, unless an `include` may find others

  // Members that come and go.
  MemberEvents* member_events_ = nullptr;
  std::vector<DrainWait> drain_waiters_;
  std::uint64_t round_ = 0;                  // the last one posted
  std::vector<std::uint64_t> rounds_taken_;  // by worker; all of them when it has ended

  // What is known of members from before this process, by pool, name and address, until they are
  // here; and what the supervisor has been told to keep.
  std::unordered_map<std::string, RememberedHealth> remembered_;
  std::uint64_t told_memory_ = 0;  // its hash
  net::Deadline memory_due_;
  net::Deadline slow_start_due_;
  bool has_slow_start_ = false;  // some pool
  ConcurrencyKeeper concurrency_;
  net::Deadline concurrency_due_;

  State state_ = State::starting;
  std::uint64_t started_us_ = 0;
  std::uint64_t reloads_ok_ = 0;
  std::uint64_t reloads_failed_ = 0;
  bool runs_on_copy_ = false;  // it was started so, and no reload has come through since
  bool last_reload_ok_ = true;
  std::string last_reload_error_;
  std::uint64_t last_success_us_ = 0;
  std::size_t workers_ended_ = 0;
  net::Deadline tick_;
  net::Deadline stop_deadline_;
  net::Deadline alive_due_;
  std::size_t silent_workers_ = 0;  // have not answered the last question whether they are alive
  std::unordered_map<std::uint32_t, ProbeTally> tallies_;  // by Member::metrics_id
  int exit_status_ = 0;
};

}  // namespace portunus::proxy
