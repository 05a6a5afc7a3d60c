#include "conf/header_text.h"

#include <algorithm>
#include <string>

#include "conf/reader.h"
#include "conf/units.h"

namespace portunus::conf {

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_field_value(std::string_view text) {
  if (text.starts_with(' ') || text.ends_with(' ')) return false;
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

bool is_target_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

bool read_host_field(Reader& reader, const Key& key, const Node& value) {
  const std::string host = lower_case(value.text);
  const bool is_bracketed = host.starts_with('[') && host.ends_with(']') &&
                            is_ip_address(std::string_view(host).substr(1, host.size() - 2));
  const bool has_port = parse_address(host).has_value() && !host.starts_with(':');
  if (is_host_name(host) || is_bracketed || has_port) return true;
  reader.error(value.place, "`" + std::string(key.name) + "`: `" + std::string(value.text) +
                                "` is not a host name, with or without a port");
  return false;
}

}  // namespace portunus::conf
