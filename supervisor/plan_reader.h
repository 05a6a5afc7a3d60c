// Runs `portunus plan` and collects what it prints. One at a time. Supervisor's thread.
#pragma once

#include <uv.h>

#include <string>

#include "supervisor/plan.h"
#include "supervisor/reaper.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

class PlanHandler {
 public:
  virtual void on_plan(Plan plan) = 0;
  // One line, or empty when it has told the user itself.
  virtual void on_plan_failed(const std::string& why) = 0;

 protected:
  ~PlanHandler() = default;
};

class PlanReader final : public ChildHandler {
 public:
  static constexpr std::size_t kPlanMax = std::size_t{64} * 1024 * 1024;
  static constexpr std::uint64_t kPatienceMs = 45'000;  // names are looked up

  PlanReader(uv_loop_t& loop, Reaper& reaper, PlanHandler& handler);
  ~PlanReader();
  PlanReader(const PlanReader&) = delete;
  PlanReader& operator=(const PlanReader&) = delete;

  // With `is_loud`, what is wrong with the configuration goes to standard error. One of the two events
  // follows in a later turn, unless cancel() comes first.
  void start(const std::string& program, const std::string& config_file, bool is_loud);
  void cancel();
  [[nodiscard]] bool is_running() const { return pid_ > 0; }

 private:
  void on_exit(pid_t pid, Exit exit) override;
  void read_all();
  void fail(const std::string& why);
  void close_pipe();

  uv_loop_t& loop_;
  Reaper& reaper_;
  PlanHandler& handler_;
  pid_t pid_ = 0;
  int pipe_ = -1;
  uv_poll_t* poll_ = nullptr;
  std::string text_;
  std::string why_;  // of a failure that is told later
  Timer patience_;
};

}  // namespace portunus::supervisor
