// `portunus plan`: reads a configuration for the supervisor, which does not read it itself.
#pragma once

#include <string>

namespace portunus::proxy {

// Writes the plan to `descriptor` (supervisor/plan.h); what is wrong with the file goes to standard
// error. The exit status.
int print_plan(const std::string& config_file, int descriptor);

}  // namespace portunus::proxy
