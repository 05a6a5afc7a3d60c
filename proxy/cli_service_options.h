// The part of the command line that asks the supervisor: its commands, their options and helps, and
// which function of cli_services.h they lead to. One thread.
#pragma once

#include <memory>

#include "proxy/cli.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace portunus::proxy {

class ServiceOptions {
 public:
  // Adds the commands.
  explicit ServiceOptions(CLI::App& app);
  ~ServiceOptions();
  ServiceOptions(const ServiceOptions&) = delete;
  ServiceOptions& operator=(const ServiceOptions&) = delete;

  [[nodiscard]] bool is_parsed() const;
  // What was parsed; the exit status.
  [[nodiscard]] int run(CliOutput& output) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace portunus::proxy
