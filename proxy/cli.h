// The command line of the program: reads the arguments, does the command, and leaves what it has to
// say in two strings for standard output and standard error. `run` is handed in, so that tests need
// no proxy. Exit statuses are those of NAMES.md. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace portunus::proxy {

struct CliOutput {
  std::string out;
  std::string err;
};

enum ExitStatus : std::uint8_t {
  exit_ok = 0,
  exit_refused = 1,  // or invalid, or not ready
  exit_usage = 2,
  exit_unreachable = 3,
  exit_timed_out = 4,
};

using RunCommand = int (*)(const std::string& config_file);

// `arguments` without the program's name. Returns the exit status.
[[nodiscard]] int run_cli(const std::vector<std::string>& arguments,
                          RunCommand run,
                          CliOutput& output);

}  // namespace portunus::proxy
