// The control thread: owns the workers, loads configurations and publishes generations, probes
// members, serves the admin API, handles signals, and ends the process. The process's main thread.
// Everything here is on that thread but the WorkerEvents, which only post.
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
#include "health/prober.h"
#include "net/loop.h"
#include "proxy/access_log.h"
#include "proxy/admin_source.h"
#include "proxy/file_watch.h"
#include "proxy/generation_builder.h"
#include "proxy/metrics.h"
#include "proxy/signals.h"
#include "proxy/worker.h"

namespace portunus::proxy {

class Admin;

struct RunOptions {
  std::string config_file;
};

// Runs the front door until a signal ends it; the process's exit status.
int run_proxy(const RunOptions& options);

class Control final : public AdminSource,
                      public WorkerEvents,
                      public health::ProberEvents,
                      public SignalHandler,
                      public FileWatchHandler {
 public:
  explicit Control(const RunOptions& options);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  int run();

  // AdminSource (control_views.cc)
  [[nodiscard]] std::string_view not_ready_reason() const override;
  [[nodiscard]] std::string metrics_text() override;
  [[nodiscard]] StatusView status() const override;
  [[nodiscard]] std::vector<PoolView> pools() const override;
  void reload(ReloadWaiter& waiter) override;
  void withdraw(ReloadWaiter& waiter) override;

 private:
  enum class State : std::uint8_t { starting, ready, announcing, draining, ended };
  struct LoadJob;
  // What is counted per member on this side.
  struct ProbeTally {
    const char* check = "tcp";
    std::uint64_t passed = 0;
    std::uint64_t failed = 0;
    base::LatencyHistogram duration;
    std::vector<ProbeCounts::Transition> transitions;
  };

  // WorkerEvents, on the workers' threads
  void on_generation_applied(std::size_t worker, std::uint64_t number) override;
  void on_generation_unused(SharedGeneration generation) override;
  void on_suspect(const SharedMember& member) override;
  void on_drained(std::size_t worker) override;
  void wake_worker(std::size_t worker) override;
  void wake_doors() override;
  void wake_waiters();
  // health::ProberEvents
  void on_transition(const health::Member& member, const health::StateChange& change) override;
  void on_probe_done(const health::Member& member,
                     const health::CheckResult& result,
                     std::uint64_t duration_ns) override;
  void on_first_round_done() override;
  // SignalHandler
  void on_signal(int number) override;
  // FileWatchHandler
  void on_files_changed() override;

  [[nodiscard]] bool start();
  void start_workers(const conf::Model& model);
  // Reload (control_reload.cc).
  void request_reload(std::string_view why);
  void note_seen(const conf::LoadResult& loaded);
  void start_loading(bool only_if_changed);
  void on_loaded(LoadJob& job);
  void prepare(conf::LoadResult loaded, RouteTable routes, const ResolvedNames& names);
  [[nodiscard]] bool open_sockets(const Generation& generation, std::string& why);
  void close_new_sockets();
  [[nodiscard]] bool open_outputs(const conf::Model& model, std::string& why);
  void set_targets(const Generation& generation);
  void apply_pending();
  void on_applied(std::uint64_t number);
  void finish_reload(bool ok, const std::string& error);
  void end_reload();
  [[nodiscard]] bool apply_logging(const conf::Model& model, std::string& why);
  // Stop.
  void begin_stop();
  void begin_drain();
  void end_now();
  void end();
  void on_worker_ended();
  void on_tick();
  void compact_metrics();
  void dump_state() const;

  RunOptions options_;
  net::Loop loop_;
  Metrics metrics_;
  AccessLog access_log_;
  GenerationBuilder builder_;
  health::Prober prober_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<FileWatch> files_;
  std::unique_ptr<Admin> admin_;
  std::vector<std::unique_ptr<Worker>> workers_;
  SharedGeneration current_;

  // Reload in progress.
  std::shared_ptr<Generation> pending_;
  std::vector<std::vector<int>> pending_sockets_;  // [worker][listener], -1: open already
  std::unique_ptr<LoadJob> job_;
  bool is_reloading_ = false;
  bool is_probing_ = false;  // waits for the first results of new members
  bool reload_again_ = false;
  bool look_again_ = false;  // the files have changed while a reload ran
  std::size_t applied_ = 0;  // workers that run on current_
  std::uint64_t reload_began_ns_ = 0;
  net::Deadline first_round_;
  std::vector<ReloadWaiter*> waiters_;
  std::vector<ReloadWaiter*> next_waiters_;  // came while a reload was running: for the next one
  ReloadOutcome outcome_;
  std::string seen_hash_;                // of the files as they were last tried
  std::vector<std::string> seen_files_;  // those, unless an `include` may find others

  State state_ = State::starting;
  std::uint64_t started_us_ = 0;
  std::uint64_t reloads_ok_ = 0;
  std::uint64_t reloads_failed_ = 0;
  bool last_reload_ok_ = true;
  std::string last_reload_error_;
  std::uint64_t last_success_us_ = 0;
  std::size_t workers_ended_ = 0;
  net::Deadline tick_;
  net::Deadline stop_deadline_;
  std::unordered_map<std::uint32_t, ProbeTally> tallies_;  // by Member::metrics_id
  int exit_status_ = 0;
};

}  // namespace portunus::proxy
