// The reference page and the JSON Schema for editors, both made from the table of keys.
// docs/reference.md is the output of reference_markdown(); a unit test fails when it is out of
// date.
#pragma once

#include <string>

namespace portunus::conf {

[[nodiscard]] std::string reference_markdown();
// JSON Schema, draft 2020-12.
[[nodiscard]] std::string json_schema();

}  // namespace portunus::conf
