#include "conf/patterns.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "conf/header_text.h"
#include "conf/reader.h"

namespace portunus::conf {
namespace {

struct Placeholder {
  std::string_view name;
  TemplateKind kind;
};
constexpr std::array<Placeholder, 5> kPlaceholders{{{"path", TemplateKind::path},
                                                    {"path.rest", TemplateKind::path_rest},
                                                    {"query", TemplateKind::query},
                                                    {"host", TemplateKind::host},
                                                    {"scheme", TemplateKind::scheme}}};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

Parsed<std::string> normalise_escapes(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out += path[i];
      continue;
    }
    const int high = i + 2 < path.size() ? hex_digit(path[i + 1]) : -1;
    const int low = i + 2 < path.size() ? hex_digit(path[i + 2]) : -1;
    if (high < 0 || low < 0) return std::unexpected(in_quotes(path) + ": `%` needs two hex digits");
    const char plain = static_cast<char>(high * 16 + low);
    if (is_unreserved(plain)) {
      out += plain;
    } else {
      out += '%';
      out += kHex[static_cast<std::size_t>(high)];
      out += kHex[static_cast<std::size_t>(low)];
    }
    i += 2;
  }
  return out;
}

bool has_dot_segment(std::string_view path) {
  for (const std::string_view dots : {std::string_view("/."), std::string_view("/..")}) {
    for (std::size_t at = path.find(dots); at != std::string_view::npos;
         at = path.find(dots, at + 1)) {
      const std::size_t end = at + dots.size();
      if (end == path.size() || path[end] == '/') return true;
    }
  }
  return false;
}

// Where the port of `host:port` begins, or npos; the colons of [::1] are none.
std::size_t port_colon(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const bool is_in_brackets =
      colon != std::string_view::npos && text.find(']', colon) != std::string_view::npos;
  return is_in_brackets ? std::string_view::npos : colon;
}

// Reads the listener's address out of `rest`, what stands after the scheme of the site `text`;
// returns the host that is left, "*" where the address was all.
Parsed<std::string_view> take_address(std::string_view text,
                                      std::string_view rest,
                                      Address& listener) {
  const std::size_t colon = port_colon(rest);
  if (colon != std::string_view::npos) {
    const auto port = parse_integer(rest.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) {
      return std::unexpected(in_quotes(text) + ": the port is not a number from 1 to 65535");
    }
    listener.port = static_cast<std::uint16_t>(*port);
    rest = rest.substr(0, colon);
  } else if (rest.empty()) {
    return std::unexpected(in_quotes(text) + " has neither host nor port");
  }
  std::string_view ip = rest;
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  if (is_ip_address(ip)) {
    listener.host = lower_case(ip);
    return "*";
  }
  return rest.empty() ? "*" : rest;
}

}  // namespace

Parsed<std::string> parse_host(std::string_view text) {
  if (text == "*") return std::string(text);
  std::string host = lower_case(text);
  std::string_view name = host;
  if (name.starts_with("*.")) name.remove_prefix(2);
  if (name.find('*') != std::string_view::npos) {
    return std::unexpected(in_quotes(text) +
                           ": a star stands for the first label only, as in *.example.com");
  }
  if (std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    return std::unexpected(in_quotes(text) + ": write an international name in its xn-- form");
  }
  const bool is_bracketed = name.starts_with('[') && name.ends_with(']') &&
                            is_ip_address(name.substr(1, name.size() - 2));
  if (!is_host_name(name) && !is_bracketed) {
    return std::unexpected(in_quotes(text) + " is not a host name");
  }
  return host;
}

Parsed<SiteKey> parse_site_key(std::string_view text) {
  SiteKey key;
  std::string_view rest = text;
  const std::size_t scheme_end = text.find("://");
  if (scheme_end != std::string_view::npos) {
    const std::string scheme = lower_case(text.substr(0, scheme_end));
    if (scheme != "http" && scheme != "https") {
      return std::unexpected(in_quotes(text) + ": the scheme of a site is http:// or https://");
    }
    key.has_scheme = true;
    key.is_https = scheme == "https";
    key.listener.port = key.is_https ? kHttpsPort : kHttpPort;
    rest = text.substr(scheme_end + 3);
  }
  if (rest.find('/') != std::string_view::npos) {
    return std::unexpected(in_quotes(text) + ": a site has no path; its routes match paths");
  }
  if (!key.has_scheme) {
    if (port_colon(rest) != std::string_view::npos) {
      return std::unexpected(in_quotes(text) + " has a port and no scheme: write " +
                             in_quotes("http://" + std::string(text)) + " or " +
                             in_quotes("https://" + std::string(text)));
    }
  } else {
    const auto name = take_address(text, rest, key.listener);
    if (!name) return std::unexpected(name.error());
    rest = *name;
  }
  auto host = parse_host(rest);
  if (!host) return std::unexpected(host.error());
  key.host = *std::move(host);
  return key;
}

Parsed<PathPattern> parse_path_pattern(std::string_view text) {
  if (!text.starts_with('/')) {
    return std::unexpected(in_quotes(text) + ": a path starts with `/`");
  }
  PathPattern pattern{std::string(text), false};
  std::string_view path = text;
  if (path.ends_with("/*")) {
    path.remove_suffix(2);
    pattern.is_prefix = true;
  }
  if (path.find('*') != std::string_view::npos) {
    return std::unexpected(in_quotes(text) +
                           ": a star stands only at the end, after a slash, as in /api/*");
  }
  if (!is_target_text(path) || path.find_first_of("?#") != std::string_view::npos) {
    return std::unexpected(in_quotes(text) +
                           ": a path holds no spaces, `?`, `#` or characters beyond ASCII "
                           "(write those as %XX)");
  }
  if (path.find("//") != std::string_view::npos || (pattern.is_prefix && path.ends_with('/'))) {
    return std::unexpected(in_quotes(text) +
                           ": a request's path never holds `//` when it is matched");
  }
  auto normal = normalise_escapes(path);
  if (!normal) return std::unexpected(normal.error());
  if (has_dot_segment(*normal)) {
    return std::unexpected(in_quotes(text) +
                           ": a request's path never holds `/.` or `/..` when it is matched");
  }
  pattern.path = normal->empty() ? "/" : *std::move(normal);
  return pattern;
}

Parsed<Template> parse_template(std::string_view text) {
  Template parts;
  while (!text.empty()) {
    const std::size_t open = text.find_first_of("{}");
    if (open != 0) {
      parts.push_back({TemplateKind::literal, std::string(text.substr(0, open))});
      if (!is_target_text(parts.back().text)) {
        return std::unexpected(
            std::string("no spaces or characters beyond ASCII here (write those as %XX)"));
      }
    }
    if (open == std::string_view::npos) break;
    const std::size_t close = text.find('}', open);
    if (text[open] == '}' || close == std::string_view::npos) {
      return std::unexpected(std::string("`{` and `}` must stand in pairs"));
    }
    const std::string_view name = text.substr(open + 1, close - open - 1);
    const auto known = std::ranges::find(kPlaceholders, name, &Placeholder::name);
    if (known == kPlaceholders.end()) {
      std::vector<std::string_view> names;
      names.reserve(kPlaceholders.size());
      for (const Placeholder& p : kPlaceholders)
        names.push_back(p.name);
      return std::unexpected(in_quotes("{" + std::string(name) + "}") +
                             " is unknown here; known are " + list_words(names));
    }
    parts.push_back({known->kind, {}});
    text.remove_prefix(close + 1);
  }
  return parts;
}

std::string format_path_pattern(const PathPattern& pattern) {
  if (!pattern.is_prefix) return pattern.path;
  return pattern.path == "/" ? "/*" : pattern.path + "/*";
}

}  // namespace portunus::conf
