#include "http/target.h"

#include <cstring>

#include "http/grammar.h"

namespace portunus::http {
namespace {

base::Error wrong(const char* detail) {
  return {base::EndReason::rejected_target, base::Side::client, base::Retry::no, detail};
}

// Whether normalise_path() would give `path` back unchanged. `path` begins with '/'.
bool is_plain(std::string_view path) {
  std::uint8_t all = kPlainPathChar;
  for (std::size_t i = 0; i < path.size(); ++i) {
    all &= class_of(path[i]);
    if (path[i] != '/' || i + 1 == path.size()) continue;
    // "/." may begin a dot segment; a hidden file takes the slow path too.
    if (path[i + 1] == '/' || path[i + 1] == '.') return false;
  }
  return all != 0;
}

constexpr char kUpperHex[] = "0123456789ABCDEF";

// Decodes what may be decoded and checks every byte. Null with a reason in `detail` on failure.
char* decode(std::string_view raw, char* out, const char*& detail) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const char c = raw[i];
    if (is_in(c, kPlainPathChar)) {
      *out++ = c;
      continue;
    }
    if (c != '%') {
      detail = c == '\\' ? "backslash in the path" : "character not allowed in the path";
      return nullptr;
    }
    const int high = i + 2 < raw.size() ? hex_value(raw[i + 1]) : -1;
    const int low = i + 2 < raw.size() ? hex_value(raw[i + 2]) : -1;
    if (high < 0 || low < 0) {
      detail = "bad percent escape in the path";
      return nullptr;
    }
    const int byte = high * 16 + low;
    if (byte == 0) {
      detail = "encoded null byte in the path";
      return nullptr;
    }
    i += 2;
    if (is_in(static_cast<char>(byte), kUnreservedChar)) {
      *out++ = static_cast<char>(byte);
    } else {
      *out++ = '%';
      *out++ = kUpperHex[high];
      *out++ = kUpperHex[low];
    }
  }
  return out;
}

// Whether a ".." stands beside an encoded separator or a parameter, encoded or not, where some
// members would see a dot segment after decoding and the proxy did not.
bool hides_parent(std::string_view segment) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= segment.size(); ++i) {
    const bool is_end = i == segment.size();
    const std::string_view here = segment.substr(i, 3);
    const bool is_separator = here == "%2F" || here == "%5C" || here == "%3B";
    if (!is_end && !is_separator && segment[i] != ';') continue;
    if (segment.substr(begin, i - begin) == "..") return true;
    begin = i + (is_separator ? 3 : 1);
  }
  return false;
}

// Removes dot segments and empty segments of [begin, end) in place. `begin` is at the first '/'.
char* remove_dots(char* begin, char* end, const char*& detail) {
  char* out = begin;  // everything before it is final and has no slash at its end
  char* at = begin;
  bool ends_in_slash = false;
  while (at < end) {
    ++at;  // the slash
    char* const stop = static_cast<char*>(
        at < end ? std::memchr(at, '/', static_cast<std::size_t>(end - at)) : nullptr);
    const std::string_view segment(at, static_cast<std::size_t>((stop ? stop : end) - at));
    at += segment.size();
    ends_in_slash = segment.empty() || segment == "." || segment == "..";
    if (segment == "..") {
      if (out == begin) {
        detail = "the path leaves the root";
        return nullptr;
      }
      while (*--out != '/') {
      }
    } else if (!ends_in_slash) {
      if (hides_parent(segment)) {
        detail = "hidden dot segment in the path";
        return nullptr;
      }
      *out++ = '/';
      std::memmove(out, segment.data(), segment.size());
      out += segment.size();
    }
  }
  if (ends_in_slash || out == begin) *out++ = '/';
  return out;
}

base::Error split_query(std::string_view raw, Head& head, base::Arena& arena) {
  const std::size_t mark = raw.find('?');
  if (mark != std::string_view::npos) {
    head.has_query = true;
    head.query = raw.substr(mark + 1);
    if (!is_all(head.query, kQueryChar)) return wrong("character not allowed in the query");
    raw = raw.substr(0, mark);
  }
  const auto path = raw.empty() ? std::string_view("/") : normalise_path(raw, arena);
  if (!path) return path.error();
  head.path = *path;
  return {};
}

// RFC 9112 section 3.2.2
base::Error parse_absolute(std::string_view raw, Head& head, base::Arena& arena) {
  const std::size_t colon = raw.find("://");
  if (colon == std::string_view::npos) return wrong("request-target in no known form");
  const std::string_view scheme = raw.substr(0, colon);
  if (is_same_ignoring_case(scheme, "http")) {
    head.scheme = "http";
  } else if (is_same_ignoring_case(scheme, "https")) {
    head.scheme = "https";
  } else {
    return wrong("scheme is neither http nor https");
  }
  raw.remove_prefix(colon + 3);
  const std::size_t end = raw.find_first_of("/?#\\");
  head.authority = raw.substr(0, end);
  if (head.authority.empty()) return wrong("empty authority");
  const std::string_view rest =
      end == std::string_view::npos ? std::string_view{} : raw.substr(end);
  if (rest.empty() && head.method == Method::options) {  // RFC 9112 section 3.2.4
    head.path = "*";
    return {};
  }
  return split_query(rest, head, arena);
}

}  // namespace

std::expected<std::string_view, base::Error> normalise_path(std::string_view raw,
                                                            base::Arena& arena) {
  if (raw.empty() || raw.front() != '/') return std::unexpected(wrong("path without a slash"));
  if (is_plain(raw)) return raw;
  const char* detail = "";
  char* const begin = arena.take(raw.size() + 1);
  char* end = decode(raw, begin, detail);
  if (end != nullptr) end = remove_dots(begin, end, detail);
  if (end == nullptr) return std::unexpected(wrong(detail));
  return std::string_view(begin, static_cast<std::size_t>(end - begin));
}

base::Error parse_target(std::string_view raw, Head& head, base::Arena& arena) {
  if (raw.empty()) return wrong("empty request-target");
  if (raw.front() == '/') return split_query(raw, head, arena);
  if (head.method == Method::connect) {
    head.authority = raw;
    head.path = "/";
    return {};
  }
  if (raw == "*") {
    if (head.method != Method::options) return wrong("\"*\" is for OPTIONS only");
    head.path = "*";
    return {};
  }
  return parse_absolute(raw, head, arena);
}

}  // namespace portunus::http
