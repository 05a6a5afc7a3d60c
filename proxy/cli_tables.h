// The admin interface's JSON as text for people. What it says comes from another process and goes
// to a terminal: control characters are replaced. Pure functions; nothing when the text is not the
// expected JSON.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace portunus::proxy {

// Lines with columns as wide as their widest cell, two blanks apart.
[[nodiscard]] std::string align(std::span<const std::vector<std::string>> rows);

[[nodiscard]] std::optional<std::string> status_text(std::string_view json);
// Of /v1/pools, and of a single pool.
[[nodiscard]] std::optional<std::string> pools_text(std::string_view json);

[[nodiscard]] std::optional<std::string> certificates_text(std::string_view json);

// Of one member, after an order: one line.
[[nodiscard]] std::optional<std::string> member_text(std::string_view json);

struct ReloadText {
  bool ok = false;
  std::string outcome;      // one line
  std::string diagnostics;  // may be empty
};
[[nodiscard]] std::optional<ReloadText> reload_text(std::string_view json);

// The message of an error answer; empty when there is none.
[[nodiscard]] std::string error_text(std::string_view json);

// Control characters become '?'; line feeds stay where `keep_lines`.
[[nodiscard]] std::string printable(std::string_view text, bool keep_lines);

}  // namespace portunus::proxy
