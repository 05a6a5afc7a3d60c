// The program: hands the arguments to the command line and prints what it says.
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/crash.h"
#include "base/version.h"
#include "proxy/cli.h"
#include "proxy/control.h"
#include "proxy/plan_command.h"
#include "supervisor/supervisor.h"

namespace {

// False when not all of it could be written, such as to a full disk.
bool print(std::FILE* file, const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
}

bool print_now(portunus::proxy::CliOutput& output) {
  const bool printed = print(stdout, output.out) && print(stderr, output.err);
  output.out.clear();
  output.err.clear();
  return printed;
}

std::string program_path;

int run_supervisor(const portunus::proxy::ProcessOptions& options) {
  return portunus::supervisor::run_supervisor({options.config_file, program_path, options.resume});
}

int run_proxy(const portunus::proxy::ProcessOptions& options) {
  return portunus::proxy::run_proxy({options.config_file, options.threads, options.channel,
                                     options.files, options.tried_us, options.state});
}

int print_plan(const portunus::proxy::ProcessOptions& options) {
  return portunus::proxy::print_plan(options.config_file, options.output);
}

}  // namespace

int main(int argc, char** argv) {
  // A peer that closes is an error code here, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // so is a log file at its limit
  portunus::base::report_crashes(portunus::base::kRevision);
  program_path = portunus::supervisor::path_of_program(argc > 0 ? argv[0] : "portunus");
  portunus::proxy::CliOutput output{.out = {}, .err = {}, .print_now = &print_now};
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const int status =
      portunus::proxy::run_cli(arguments, {&run_supervisor, &run_proxy, &print_plan}, output);
  const bool printed = output.flush();
  return printed || status != 0 ? status : portunus::proxy::exit_refused;
}
