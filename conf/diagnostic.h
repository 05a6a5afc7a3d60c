// What is wrong or doubtful in a configuration: one message at one place of one file, and the two
// forms in which it is shown, for people and for machines. Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace portunus::conf {

enum class Severity : std::uint8_t { error, warning };

struct Diagnostic {
  Severity severity = Severity::error;
  std::string file;
  std::uint32_t line = 0;    // from 1; 0 = the file as a whole
  std::uint32_t column = 0;  // from 1, in characters; 0 = the file as a whole
  std::string message;
  std::string hint;         // what to write instead; may be empty
  std::string source_line;  // as in the file; a very long line is cut around the place
  std::uint32_t caret = 0;  // bytes of source_line before the place
};

[[nodiscard]] bool has_errors(const std::vector<Diagnostic>& diagnostics);

// "file:line:column: error: message", the line with a caret under the place, the hint. Ends with a
// line feed. Control characters of the file are replaced, so that it cannot write to a terminal.
[[nodiscard]] std::string format_text(const Diagnostic& diagnostic);
[[nodiscard]] std::string format_text(const std::vector<Diagnostic>& diagnostics);

// A JSON array of objects with the fields of Diagnostic, for `portunus check --json`.
[[nodiscard]] std::string format_json(const std::vector<Diagnostic>& diagnostics);

}  // namespace portunus::conf
