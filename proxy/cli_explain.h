// `portunus explain URL`: its options, and the admin interface's answer as text. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/cli.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace portunus::proxy {

class ExplainOptions {
 public:
  // Adds the command.
  explicit ExplainOptions(CLI::App& app);
  ~ExplainOptions();
  ExplainOptions(const ExplainOptions&) = delete;
  ExplainOptions& operator=(const ExplainOptions&) = delete;

  [[nodiscard]] bool is_parsed() const;
  // What was parsed; the exit status.
  [[nodiscard]] int run(CliOutput& output) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Nothing when it is not the expected JSON. Control characters are replaced.
[[nodiscard]] std::optional<std::string> explanation_text(std::string_view json);

}  // namespace portunus::proxy
