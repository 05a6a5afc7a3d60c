#include "conf/diagnostic.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace portunus::conf {
namespace {

std::string_view severity_word(Severity severity) {
  return severity == Severity::error ? "error" : "warning";
}

void append_printable(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\t') {
      out += ' ';
    } else if (byte < 0x20 || byte == 0x7f) {
      out += '?';
    } else {
      out += c;
    }
  }
}

// Columns on the screen: a UTF-8 sequence counts once.
std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

}  // namespace

bool has_errors(const std::vector<Diagnostic>& diagnostics) {
  return std::ranges::any_of(diagnostics,
                             [](const Diagnostic& d) { return d.severity == Severity::error; });
}

std::string format_text(const Diagnostic& diagnostic) {
  std::string out;
  append_printable(out, diagnostic.file);
  if (diagnostic.line > 0) {
    out += ':' + std::to_string(diagnostic.line) + ':' + std::to_string(diagnostic.column);
  }
  out += ": ";
  out += severity_word(diagnostic.severity);
  out += ": ";
  append_printable(out, diagnostic.message);
  out += '\n';
  if (diagnostic.line > 0) {
    const std::string number = std::to_string(diagnostic.line);
    const std::string margin(std::max<std::size_t>(number.size(), 4) + 1, ' ');
    out += std::string(margin.size() - number.size(), ' ') + number + " | ";
    append_printable(out, diagnostic.source_line);
    const std::string_view before =
        std::string_view(diagnostic.source_line).substr(0, diagnostic.caret);
    out += '\n' + margin + " | " + std::string(count_characters(before), ' ') + "^\n";
  }
  if (!diagnostic.hint.empty()) {
    out += "      hint: ";
    append_printable(out, diagnostic.hint);
    out += '\n';
  }
  return out;
}

std::string format_text(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics)
    out += format_text(diagnostic);
  return out;
}

std::string format_json(const std::vector<Diagnostic>& diagnostics) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const Diagnostic& d : diagnostics) {
    out.push_back({{"severity", severity_word(d.severity)},
                   {"file", d.file},
                   {"line", d.line},
                   {"column", d.column},
                   {"message", d.message},
                   {"hint", d.hint},
                   {"source_line", d.source_line}});
  }
  // A file's name may hold any bytes; JSON may not.
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

}  // namespace portunus::conf
