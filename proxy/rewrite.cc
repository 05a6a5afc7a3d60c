#include "proxy/rewrite.h"

#include <algorithm>
#include <cstring>

#include "http/grammar.h"

namespace portunus::proxy {
namespace {

constexpr char kUpperHex[] = "0123456789ABCDEF";

// What a part of a template stands for in this request.
struct Parts {
  const RouteMatch& match;
  const http::Head& request;
  std::string_view scheme;

  [[nodiscard]] std::string_view of(const conf::TemplatePart& part) const {
    switch (part.kind) {
      case conf::TemplateKind::literal:
        return part.text;
      case conf::TemplateKind::path:
        return request.path;
      case conf::TemplateKind::path_rest:
        return match.path_rest;
      case conf::TemplateKind::query:
        return request.query;
      case conf::TemplateKind::host:
        return request.host;
      case conf::TemplateKind::scheme:
        return scheme;
    }
    return {};
  }
};

// Whether a byte of that part may stand in the result as it is. A literal and a query may hold `?`;
// what is a path to us must not become a query or a fragment. `%` always begins an escape that the
// client or the user wrote.
bool is_kept(char c, conf::TemplateKind kind) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte <= 0x20 || byte >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>') return false;
  if (kind == conf::TemplateKind::literal) return true;
  return c != '#' && (c != '?' || kind == conf::TemplateKind::query);
}

// Text of the client that may stand anywhere; a host has been judged and holds no slash.
bool is_from_client(conf::TemplateKind kind) {
  return kind == conf::TemplateKind::path || kind == conf::TemplateKind::path_rest ||
         kind == conf::TemplateKind::query;
}

// Whether `text` is an authority still open to more of it, as "https://example.com": what follows
// must begin a path, else the client's text would name the host.
bool is_open_authority(std::string_view text) {
  const std::size_t mark = text.find("//");
  return mark != std::string_view::npos && text.find_first_of("/?#", mark + 2) == text.npos;
}

class Writer {
 public:
  explicit Writer(char* begin) : begin_(begin), end_(begin) {}

  [[nodiscard]] std::string_view text() const {
    return {begin_, static_cast<std::size_t>(end_ - begin_)};
  }
  void put(char c) { *end_++ = c; }
  void put(std::string_view text, conf::TemplateKind kind) {
    if (text.empty()) return;
    if (is_in_path()) {
      // At the very beginning the client's text would name a scheme or, after two slashes, a host.
      if (is_from_client(kind) && (end_ == begin_ || is_open_authority(this->text()))) put('/');
      // A slash on both sides of a seam is one too many.
      while (text.starts_with('/') && end_ != begin_ && end_[-1] == '/')
        text.remove_prefix(1);
    }
    for (const char c : text) {
      if (is_kept(c, kind)) {
        put(c);
        continue;
      }
      const auto byte = static_cast<unsigned char>(c);
      put('%');
      put(kUpperHex[byte >> 4]);
      put(kUpperHex[byte & 15]);
    }
  }

 private:
  [[nodiscard]] bool is_in_path() const { return text().find('?') == std::string_view::npos; }

  char* begin_;
  char* end_;
};

// Fills the template into the arena. No byte grows to more than three, and each part may get a
// slash in front.
std::string_view fill(const conf::Template& parts,
                      const Parts& values,
                      std::string_view tail,
                      base::Arena& arena) {
  std::size_t size = 2 + 3 * tail.size();
  for (const conf::TemplatePart& part : parts)
    size += 1 + 3 * values.of(part).size();
  Writer writer(arena.take(size));
  for (const conf::TemplatePart& part : parts)
    writer.put(values.of(part), part.kind);
  if (writer.text().empty()) writer.put('/');
  if (!tail.empty()) {
    writer.put('?');
    writer.put(tail, conf::TemplateKind::query);
  }
  return writer.text();
}

// "." or "..", also percent-encoded.
std::size_t dots_in(std::string_view segment) {
  std::size_t dots = 0;
  while (!segment.empty()) {
    const bool is_encoded = segment.starts_with("%2e") || segment.starts_with("%2E");
    if (!is_encoded && segment.front() != '.') return 0;
    segment.remove_prefix(is_encoded ? 3 : 1);
    ++dots;
  }
  return dots <= 2 ? dots : 0;
}

// RFC 3986 section 5.2.4, and empty segments between others: for what only a template with {query},
// or an odd literal, can bring about, as the client's path is clean already. The result needs one
// byte more than `path` at most.
std::string_view without_dot_segments(std::string_view path, char* const begin) {
  char* out = begin;
  bool ends_in_slash = true;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t size = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, size);
    path.remove_prefix(size);
    const std::size_t dots = dots_in(segment);
    ends_in_slash = segment.empty() || dots != 0;
    if (dots == 2) {
      const std::size_t slash = std::string_view(begin, out).rfind('/');
      out = slash == std::string_view::npos ? begin : begin + slash;
    } else if (!ends_in_slash) {
      *out++ = '/';
      std::memmove(out, segment.data(), size);
      out += size;
    }
  }
  if (ends_in_slash) *out++ = '/';
  return {begin, static_cast<std::size_t>(out - begin)};
}

std::string_view strip(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return path;
  std::string_view rest = path.substr(prefix.size());
  if (rest.empty()) return "/";
  if (rest.front() != '/') return path;  // the prefix ends within a segment
  while (rest.starts_with("//"))
    rest.remove_prefix(1);
  return rest;
}

std::string_view rewritten(const conf::Template& to, const Parts& values, base::Arena& arena) {
  std::string_view made = fill(to, values, {}, arena);
  if (!made.starts_with('/')) made = arena.join("/", made);
  // A literal may bring a query of its own; only the path is cleaned.
  const std::size_t path_size = std::min(made.find('?'), made.size());
  const std::string_view path = made.substr(0, path_size);
  const bool is_clean = path.find("//") == path.npos && path.find("/.") == path.npos &&
                        path.find("/%2e") == path.npos && path.find("/%2E") == path.npos;
  if (is_clean) return made;
  const std::string_view clean = without_dot_segments(path, arena.take(path_size + 1));
  return arena.join(clean, made.substr(path_size));
}

}  // namespace

std::string_view upstream_path(const RouteMatch& match,
                               const http::Head& request,
                               base::Arena& arena) {
  const conf::Forward& forward = match.route->forward();
  if (!request.path.starts_with('/')) return request.path;
  if (!forward.strip_prefix.empty()) return strip(request.path, forward.strip_prefix);
  if (forward.rewrite.empty()) return request.path;
  return rewritten(forward.rewrite, {match, request, {}}, arena);
}

std::string_view redirect_location(const RouteMatch& match,
                                   const http::Head& request,
                                   std::string_view scheme,
                                   base::Arena& arena) {
  const conf::Redirect& redirect = match.route->redirect();
  if (request.host.empty()) {
    for (const conf::TemplatePart& part : redirect.to) {
      if (part.kind == conf::TemplateKind::host) return {};
    }
  }
  const bool keeps_query = redirect.keep_query && request.has_query;
  return fill(redirect.to, {match, request, scheme},
              keeps_query ? request.query : std::string_view{}, arena);
}

}  // namespace portunus::proxy
