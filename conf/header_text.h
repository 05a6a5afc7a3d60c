// Checks of the pieces of HTTP that a configuration holds: field names and values, hosts, targets,
// paths. RFC 9110, sections 5.5 and 5.6.2. Pure functions; any thread.
#pragma once

#include <string_view>

namespace portunus::conf {

class Reader;
struct Key;
struct Node;

[[nodiscard]] bool is_token(std::string_view text);
// No control characters, no space at either end.
[[nodiscard]] bool is_field_value(std::string_view text);
// Visible ASCII only, so that it can stand in a request line.
[[nodiscard]] bool is_target_text(std::string_view text);

// True when the value is a host with or without a port; reports it when not.
[[nodiscard]] bool read_host_field(Reader& reader, const Key& key, const Node& value);

}  // namespace portunus::conf
