// The process that `portunus run` is: it owns the listening sockets and all children, and does little
// else, so that it lives. The proxy is its child; when that dies, clients wait in the accept queues
// until the next one serves. It parses neither configuration nor HTTP. One thread (the log's writer
// aside), asleep while nothing happens.
//
//   planning --plan read, listeners bound--> starting --proxy ready--> running
//   running --proxy exits--> running: a new one after the back-off
//   any --TERM, INT--> stopping --proxy and services gone--> ended
//   before `running`, a failure ends the process with status 1
//
//   upgrade (supervisor_upgrade.cc), while running: a second proxy of the program as it is on disk
//   now is started on the same sockets; when it is ready the first one drains, and this process
//   executes the new program in place, with its children kept (resume.h). When it is not, all stays.
#pragma once

#include <unistd.h>
#include <uv.h>

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/cgroup.h"
#include "supervisor/good_files.h"
#include "supervisor/listeners.h"
#include "supervisor/member_keeper.h"
#include "supervisor/notify.h"
#include "supervisor/plan_reader.h"
#include "supervisor/proxy_process.h"
#include "supervisor/resume.h"
#include "supervisor/service_commands.h"
#include "supervisor/service_lines.h"
#include "supervisor/service_news.h"
#include "supervisor/services.h"
#include "supervisor/signals.h"
#include "supervisor/sockets.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

struct SupervisorOptions {
  std::string config_file;
  std::string program;  // path of the executable, for children
  int resume = -1;      // what the supervisor that this process was before has left (resume.h)
};

// Of this process's executable, for children. Asked at start: a file that takes its place later is
// then the new program.
[[nodiscard]] std::string path_of_program(const char* called_as);

// Until a signal ends it; the process's exit status.
int run_supervisor(const SupervisorOptions& options);

class Supervisor final : public SignalHandler,
                         public PlanHandler,
                         public ProxyEvents,
                         public ServicesHost,
                         public NewsReceiver,
                         public UpgradeHost {
 public:
  explicit Supervisor(SupervisorOptions options);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  int run();

 private:
  enum class State : std::uint8_t { planning, starting, running, stopping, ended };

  void on_signal(int number) override;
  void on_plan(Plan plan) override;
  void on_plan_failed(const std::string& why) override;
  void on_proxy_message(ProxyProcess& proxy, const Message& message) override;
  void on_proxy_files(ProxyProcess& proxy,
                      conf::SealedFiles files,
                      const Message& message) override;
  void on_proxy_alive(ProxyProcess& proxy) override;
  void on_proxy_memory(ProxyProcess& proxy, int descriptor) override;
  void on_proxy_exit(ProxyProcess& proxy, Exit exit) override;
  // ServicesHost (supervisor_services.cc)
  void on_members_changed(const Service& service) override;
  void on_requests_wanted(const Service& service) override;
  void on_services_changed() override;
  void on_all_stopped() override;
  void on_news(const Message& message) override;
  // UpgradeHost
  void on_waiter_gone() override;

  // Start (supervisor_plan.cc).
  [[nodiscard]] bool begin(Plan plan, std::string& why);
  [[nodiscard]] bool open_log(const Plan& plan, std::string& why);
  [[nodiscard]] static bool find_user(const Plan& plan,
                                      std::optional<Identity>& found,
                                      std::string& why);
  [[nodiscard]] std::vector<WantedListener> wanted(const Plan& plan) const;
  void give_up(const std::string& why);
  // The proxy.
  [[nodiscard]] std::string program_to_start() const;
  [[nodiscard]] bool start_proxy(std::string& why);
  void restart_proxy();
  void schedule_restart();
  void choose_files();
  void on_ready(const std::string& status);
  // Upgrade (supervisor_upgrade.cc, supervisor_execute.cc).
  std::expected<void, std::string> upgrade() override;
  [[nodiscard]] std::string find_hindrance() const;
  void refuse_upgrade(const std::string& why);
  void refuse_reload();
  void make_up_for_reload();
  void stay_as_it_is(const std::string& why);
  void start_next();
  void promote();
  [[nodiscard]] bool is_execution_possible();
  void execute();
  [[nodiscard]] Resume save() const;
  // False: it cannot be read.
  [[nodiscard]] bool resume();
  void fail_upgrade(const std::string& why);
  void abandon_upgrade();
  void on_retired(const ProxyProcess& proxy, Exit exit);
  void bury_retired();
  // Reload (supervisor_plan.cc).
  void on_prepare(ProxyProcess& proxy, const std::string& hash);
  void answer_prepare(bool is_good, const std::string& why);
  void apply_plan();
  [[nodiscard]] static bool make_own_folder(const std::string& above,
                                            const std::string& folder,
                                            const std::optional<Identity>& identity,
                                            std::string& why);
  [[nodiscard]] bool make_own_folders(const Plan& plan,
                                      const std::optional<Identity>& identity,
                                      std::string& why) const;
  void reopen_logs();
  // Never as root instead.
  [[nodiscard]] bool is_user_known() const {
    return plan_.user.empty() || identity_.has_value() || ::geteuid() != 0;
  }
  // Stop.
  void begin_stop(const char* why);
  void end_at_once(Kind how);
  void on_patience();
  void end_when_empty();
  void on_watchdog();
  // Services (supervisor_services.cc).
  void enter_cgroup();
  void make_logs_folder();
  [[nodiscard]] std::string state() const;
  [[nodiscard]] Message members() const;
  [[nodiscard]] std::vector<ProxyProcess*> running_proxies() const;
  void tell_members();
  void on_health(const Message& message);
  void on_drained(ProxyProcess& proxy, const Message& message);
  void settle_drains();
  void on_order(ProxyProcess& proxy, const Message& message);
  void on_requests(const Message& message);

  SupervisorOptions options_;
  Notifier notifier_;  // these two first: there are no threads yet
  InheritedSockets inherited_;
  uv_loop_t loop_{};
  Reaper reaper_;
  Surroundings surroundings_{loop_, reaper_};
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<PlanReader> reader_;
  Listeners listeners_;
  std::unique_ptr<ProxyProcess> proxy_;
  std::unique_ptr<ProxyProcess> next_;                   // of an upgrade; not ready yet
  std::vector<std::unique_ptr<ProxyProcess>> retiring_;  // drain
  GoodFiles good_files_;                                 // what a proxy is started on
  std::uint64_t plan_number_ = 0;                        // goes up when plan_ changes
  ProxyProcess* asker_ = nullptr;                        // waits for the answer to `prepare`
  bool is_upgrading_ = false;                            // the new program reads the configuration
  bool may_execute_ = false;                             // it can go on from here
  bool is_proxy_newer_ = false;    // than this process, which an upgrade could not replace
  bool is_given_up_ = false;       // next_ is killed, and has been told of
  bool is_execution_due_ = false;  // it had to wait
  bool owes_reload_ = false;       // one was refused for the upgrade
  std::uint64_t reload_deadline_ns_ = 0;
  std::unique_ptr<Timer> execution_;
  std::unique_ptr<Timer> upgrade_due_;
  std::unique_ptr<Timer> burial_;
  std::unique_ptr<Timer> calm_;
  std::unique_ptr<MemberKeeper> keeper_;
  std::unique_ptr<ServiceLines> lines_;  // these two are in surroundings_
  std::unique_ptr<CgroupTree> cgroups_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<ServiceCommands> commands_;
  std::unique_ptr<ServiceNews> news_;
  bool is_hasty_ = false;  // the end is to come at once
  std::unique_ptr<Timer> restart_;
  std::unique_ptr<Timer> watchdog_;
  std::unique_ptr<Timer> patience_;  // a stop has an end
  Plan plan_;
  std::optional<Plan> next_plan_;  // prepared for a reload
  std::string wanted_hash_;        // of the reload that waits for its plan
  std::optional<Identity> identity_;
  State state_ = State::planning;
  std::uint32_t crashes_ = 0;  // of the proxy in a row
  std::uint64_t restarts_ = 0;
  int exit_status_ = 0;
};

}  // namespace portunus::supervisor
