#include "conf/environment.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

namespace portunus::conf {
namespace {

// Not getenv: it is not safe next to another thread's setenv by its standard, and the loop is as
// short.
std::optional<std::string_view> find_variable(std::string_view name) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    if (line.size() > name.size() && line[name.size()] == '=' && line.starts_with(name)) {
      return line.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

bool is_name(std::string_view name) {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && (name[0] < '0' || name[0] > '9') && std::ranges::all_of(name, is_word);
}

}  // namespace

std::expected<std::string, std::string> replace_environment(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar);
    if (text.starts_with("$${")) {
      out += "${";
      text.remove_prefix(3);
      continue;
    }
    if (!text.starts_with("${")) {
      out += '$';
      text.remove_prefix(1);
      continue;
    }
    const std::size_t end = text.find('}');
    if (end == std::string_view::npos) {
      return std::unexpected(std::string("`${` without its `}`"));
    }
    const std::string_view inside = text.substr(2, end - 2);
    const std::size_t split = inside.find(":-");
    const std::string_view name = inside.substr(0, split);
    if (!is_name(name)) {
      return std::unexpected("`" + std::string(text.substr(0, end + 1)) +
                             "` does not name an environment variable");
    }
    const std::optional<std::string_view> value = find_variable(name);
    if (value && !(value->empty() && split != std::string_view::npos)) {
      out += *value;
    } else if (split != std::string_view::npos) {
      out += inside.substr(split + 2);
    } else {
      return std::unexpected("the environment variable `" + std::string(name) + "` is not set");
    }
    text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace portunus::conf
