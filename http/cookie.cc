#include "http/cookie.h"

namespace portunus::http {

std::string_view cookie_value(std::string_view field, std::string_view name) {
  while (!field.empty()) {
    const std::size_t semicolon = field.find(';');
    std::string_view pair = field.substr(0, semicolon);
    field = semicolon == std::string_view::npos ? std::string_view{} : field.substr(semicolon + 1);
    while (!pair.empty() && (pair.front() == ' ' || pair.front() == '\t'))
      pair.remove_prefix(1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    std::string_view value = pair.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return {};
}

}  // namespace portunus::http
