// One request to a running supervisor over its control socket (supervisor/service_commands.h), and
// its answer line by line. Blocks, bounded by the time-out. For commands, which have one thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/cli.h"

namespace portunus::proxy {

class AnswerHandler {
 public:
  // Each JSON object but the last. False breaks the call off.
  virtual bool on_answer(std::string_view line) = 0;

 protected:
  ~AnswerHandler() = default;
};

struct ControlRequest {
  std::string verb;
  std::string service;
  std::optional<std::uint32_t> replicas;
  bool waits = false;  // until it is so
};

struct ControlOutcome {
  ExitStatus status = exit_ok;
  std::string error;  // one line, when it is not ok
};

[[nodiscard]] ControlOutcome call_supervisor(const std::string& socket,
                                             const ControlRequest& request,
                                             std::chrono::milliseconds timeout,
                                             AnswerHandler& handler);

}  // namespace portunus::proxy
