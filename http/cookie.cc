#include "http/cookie.h"

namespace portunus::http {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) {
    return c == ' ' || c == '\t';
  };
  while (!text.empty() && is_space(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && is_space(text.back()))
    text.remove_suffix(1);
  return text;
}

}  // namespace

bool CookieWalk::next(Cookie& cookie) {
  while (!rest_.empty()) {
    const std::size_t semicolon = rest_.find(';');
    const std::string_view pair = trimmed(rest_.substr(0, semicolon));
    rest_ = semicolon == std::string_view::npos ? std::string_view{} : rest_.substr(semicolon + 1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    cookie.name = pair.substr(0, equals);
    cookie.value = pair.substr(equals + 1);
    if (cookie.value.size() >= 2 && cookie.value.front() == '"' && cookie.value.back() == '"')
      cookie.value = cookie.value.substr(1, cookie.value.size() - 2);
    return true;
  }
  return false;
}

std::string_view cookie_value(std::string_view field, std::string_view name) {
  CookieWalk walk(field);
  for (Cookie cookie; walk.next(cookie);)
    if (cookie.name == name) return cookie.value;
  return {};
}

std::string_view cookie_value(const HeaderBlock& fields, std::string_view name) {
  for (std::size_t at = fields.find(HeaderId::cookie); at != HeaderBlock::kNone;
       at = fields.find(HeaderId::cookie, at + 1)) {
    const std::string_view value = cookie_value(fields.field(at).value(), name);
    if (!value.empty()) return value;
  }
  return {};
}

}  // namespace portunus::http
