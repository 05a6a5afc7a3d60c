// What a supervisor hands to the one that it executes itself as: everything that cannot be found out
// anew. Plain values, and numbers of descriptors that stay open over the execve().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/listeners.h"
#include "supervisor/plan.h"
#include "supervisor/service.h"

namespace portunus::supervisor {

// Goes up when another version could not go on with this; then the supervisor stays what it is.
inline constexpr std::uint32_t kResumeVersion = 1;

struct SavedProxy {
  pid_t pid = 0;
  int channel = -1;
  std::uint64_t started_ns = 0;
};

struct SavedFiles {
  int descriptor = -1;  // a conf::SealedFiles; none is -1
  std::string hash;
};

struct Resume {
  Plan plan;
  std::vector<OpenSocket> sockets;
  std::vector<OpenSocket> inherited;  // of the service manager
  std::vector<SavedProxy> proxies;    // the one that serves, then those that drain
  std::vector<SavedService> services;
  std::uint64_t restarts = 0;
  SavedFiles good_files;     // good_files.h
  SavedFiles proven_files;   // when the plan is theirs, too
  int upgrade_client = -1;   // waits for the outcome of the upgrade (service_commands.h)
  int memory = -1;           // MemberKeeper's descriptor
  bool owes_reload = false;  // the proxy's was put off for the upgrade
};

[[nodiscard]] std::string encode(const Resume& resume);
[[nodiscard]] std::expected<Resume, std::string> decode_resume(std::string_view text);

}  // namespace portunus::supervisor
