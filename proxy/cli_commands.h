// The commands that need no running proxy: check, config, version, and finding the configuration
// file. Blocking; one thread. Exit statuses are returned, text goes to the CliOutput.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proxy/cli.h"

namespace portunus::proxy {

// `given`, or the first default file that exists; nothing (and an error) when there is none.
[[nodiscard]] std::optional<std::string> find_config_file(const std::string& given,
                                                          CliOutput& output);
// The same with the defaults handed in.
[[nodiscard]] std::optional<std::string> find_config_file(const std::string& given,
                                                          const std::vector<std::string>& defaults,
                                                          CliOutput& output);
[[nodiscard]] int check_config(const std::string& file, bool as_json, CliOutput& output);
[[nodiscard]] int print_version(bool as_json, CliOutput& output);

}  // namespace portunus::proxy
