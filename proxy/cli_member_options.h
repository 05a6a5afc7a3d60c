// The part of the command line that is about members of pools: drain, enable, disable, weight, with
// their options and helps. One thread.
#pragma once

#include <memory>

#include "proxy/cli.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace portunus::proxy {

class MemberOptions {
 public:
  // Adds the commands.
  explicit MemberOptions(CLI::App& app);
  ~MemberOptions();
  MemberOptions(const MemberOptions&) = delete;
  MemberOptions& operator=(const MemberOptions&) = delete;

  [[nodiscard]] bool is_parsed() const;
  // What was parsed; the exit status.
  [[nodiscard]] int run(CliOutput& output) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace portunus::proxy
