// The commands that need no running proxy: check, config, version, and finding the configuration
// file. Blocking; one thread. Exit statuses are returned, text goes to the CliOutput.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conf/model.h"
#include "proxy/cli.h"

namespace portunus::proxy {

// `given`, or the first default file that exists; nothing (and an error) when there is none.
[[nodiscard]] std::optional<std::string> find_config_file(const std::string& given,
                                                          CliOutput& output);
// The same with the defaults handed in.
[[nodiscard]] std::optional<std::string> find_config_file(const std::string& given,
                                                          const std::vector<std::string>& defaults,
                                                          CliOutput& output);

// The configuration of a command that asks a running program: `missing` is what is not known without
// it, `way` how to do without it. Else what is wrong has been said, and the error is the exit status.
struct FoundConfig {
  std::string file;
  std::unique_ptr<const conf::Model> model;
};
[[nodiscard]] std::expected<FoundConfig, int> load_config(const std::string& given,
                                                          const std::string& missing,
                                                          const std::string& way,
                                                          CliOutput& output);

[[nodiscard]] int check_config(const std::string& file, bool as_json, CliOutput& output);
[[nodiscard]] int print_version(bool as_json, CliOutput& output);

}  // namespace portunus::proxy
