// The small languages inside a site: its key, path patterns, field matches and templates with
// `{placeholders}`. Errors are sentences for the user. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "conf/model.h"
#include "conf/units.h"

namespace portunus::conf {

inline constexpr std::uint16_t kHttpPort = 80;
inline constexpr std::uint16_t kHttpsPort = 443;

// `example.com`, `*.example.com`, `*`, `http://host`, `https://host:port`, `http://:port`. An IP
// address in a key with a scheme is where to listen, and any Host is served there.
struct SiteKey {
  std::string host;  // a host as in Site::hosts
  bool has_scheme = false;
  bool is_https = false;
  Address listener;  // with a scheme
};

[[nodiscard]] Parsed<SiteKey> parse_site_key(std::string_view text);
// A host as in Site::hosts: exact, `*.name` or `*`.
[[nodiscard]] Parsed<std::string> parse_host(std::string_view text);
// Escapes are brought into the form that request paths have when they are matched: upper-case
// hexadecimal digits, and unreserved characters plain (RFC 3986, section 6.2.2).
[[nodiscard]] Parsed<PathPattern> parse_path_pattern(std::string_view text);
[[nodiscard]] Parsed<Template> parse_template(std::string_view text);
// The way back, for default route names and messages.
[[nodiscard]] std::string format_path_pattern(const PathPattern& pattern);

}  // namespace portunus::conf
