// The command line of the program: reads the arguments, does the command, and leaves what it has to
// say in two strings for standard output and standard error. Processes are handed in, so that
// tests need none. Exit statuses are those of NAMES.md. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace portunus::proxy {

struct CliOutput {
  std::string out;
  std::string err;
  // Prints what is there and empties it: for commands that take their time. Null: nobody watches.
  // False when it cannot be printed.
  bool (*print_now)(CliOutput& output) = nullptr;

  bool flush() { return print_now == nullptr || print_now(*this); }
};

enum ExitStatus : std::uint8_t {
  exit_ok = 0,
  exit_refused = 1,  // or invalid, or not ready
  exit_usage = 2,
  exit_unreachable = 3,
  exit_timed_out = 4,
};

// What the command line leaves to main: the processes that `portunus run` consists of.
struct ProcessOptions {
  std::string config_file;
  std::uint32_t threads = 0;   // `proxy`; 0 = the configuration's
  int channel = -1;            // `proxy`: to the supervisor
  int files = -1;              // `proxy`: to be read instead of the configuration's
  std::uint64_t tried_us = 0;  // `proxy`: since when they are known to be of no use
  int output = 1;              // `plan`: where to
  int resume = -1;             // `run`: what this process has left for itself
  std::string state = {};      // `proxy`: the supervisor's folder
};
struct ProcessCommands {
  int (*supervisor)(const ProcessOptions&) = nullptr;  // `run`
  int (*proxy)(const ProcessOptions&) = nullptr;
  int (*plan)(const ProcessOptions&) = nullptr;
};

// `arguments` without the program's name. Returns the exit status.
[[nodiscard]] int run_cli(const std::vector<std::string>& arguments,
                          const ProcessCommands& processes,
                          CliOutput& output);

}  // namespace portunus::proxy
