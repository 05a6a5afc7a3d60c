// Children that have ended, by SIGCHLD and not by a poll. Takes every zombie, those of strangers
// too: the supervisor is a child subreaper, and PID 1 of a container. A process id is used for
// signals only while its child is watched, so that a reused id never gets them. Supervisor's thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <unordered_map>

namespace portunus::supervisor {

struct Exit {
  int status = 0;                // of exit(); -1 when a signal ended it
  int signal = 0;                // that ended it; 0 = none
  std::uint64_t peak_bytes = 0;  // of its resident memory; 0 = not known
  [[nodiscard]] bool is_clean() const { return signal == 0 && status == 0; }
};

class ChildHandler {
 public:
  virtual void on_exit(pid_t pid, Exit exit) = 0;

 protected:
  ~ChildHandler() = default;
};

class Reaper {
 public:
  // on_exit() comes once, from reap().
  void watch(pid_t pid, ChildHandler& handler) { handlers_[pid] = &handler; }
  // The handler goes; the child is still reaped.
  void forget(pid_t pid) { handlers_.erase(pid); }
  [[nodiscard]] bool is_watched(pid_t pid) const { return handlers_.contains(pid); }
  // After a SIGCHLD: everything that has ended meanwhile.
  void reap();
  // At the end: whatever has become a child of ours, and has no handler, is killed and waited for.
  void kill_strays();
  [[nodiscard]] std::uint64_t strangers() const { return strangers_; }

 private:
  std::unordered_map<pid_t, ChildHandler*> handlers_;
  std::uint64_t strangers_ = 0;
};

}  // namespace portunus::supervisor
