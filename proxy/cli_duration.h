// A duration given as an option of the command line, such as `--timeout 30s`. One thread.
#pragma once

#include <chrono>
#include <string>

#include "proxy/cli.h"

namespace portunus::proxy {

// An empty text leaves the value as it is. False: a mistake, which has been told.
[[nodiscard]] bool read_duration(const char* option,
                                 const std::string& text,
                                 std::chrono::milliseconds& value,
                                 CliOutput& output);

}  // namespace portunus::proxy
