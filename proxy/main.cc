// The program: hands the arguments to the command line and prints what it says.
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "proxy/cli.h"
#include "proxy/control.h"

namespace {

// False when not all of it could be written, such as to a full disk.
bool print(std::FILE* file, const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
}

int run(const std::string& config_file) {
  return portunus::proxy::run_proxy({config_file});
}

}  // namespace

int main(int argc, char** argv) {
  // A peer that closes is an error code here, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  portunus::proxy::CliOutput output;
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const int status = portunus::proxy::run_cli(arguments, &run, output);
  const bool printed = print(stdout, output.out) && print(stderr, output.err);
  return printed || status != 0 ? status : portunus::proxy::exit_refused;
}
