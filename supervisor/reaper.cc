#include "supervisor/reaper.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <fstream>

namespace portunus::supervisor {

void Reaper::reap() {
  while (true) {
    int status = 0;
    rusage used{};
    const pid_t pid = ::wait4(-1, &status, WNOHANG, &used);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    const auto found = handlers_.find(pid);
    if (found == handlers_.end()) {
      ++strangers_;
      continue;
    }
    // Out of the table first: the handler may start a child, and that one may get the same id.
    ChildHandler& handler = *found->second;
    handlers_.erase(found);
    Exit exit;
    if (WIFSIGNALED(status)) {
      exit = {-1, WTERMSIG(status)};
    } else {
      exit.status = WEXITSTATUS(status);
    }
    exit.peak_bytes = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
    handler.on_exit(pid, exit);
  }
}

void Reaper::kill_strays() {
  // Killing one may bring its children here: again, but not for ever.
  for (int round = 0; round < 100; ++round) {
    std::ifstream file("/proc/thread-self/children");
    bool is_any = false;
    for (pid_t pid = 0; file >> pid;) {
      if (handlers_.contains(pid)) continue;
      is_any = true;
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    if (!is_any) return;
  }
}

}  // namespace portunus::supervisor
