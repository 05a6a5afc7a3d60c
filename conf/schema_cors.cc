#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "conf/cors_reader.h"
#include "conf/header_text.h"
#include "conf/patterns.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

struct CorsDraft {
  Cors cors;
  Place cors_place;  // of the list of whose pages
  Place stars[3];    // of a `*` in methods, headers, expose; line 0 = none
  bool has_list = false;
};

// [::1], with no port behind.
bool is_bare_ip6(std::string_view host) {
  return host.starts_with('[') && host.ends_with(']') && host.find(':') != std::string_view::npos &&
         is_ip_address(host.substr(1, host.size() - 2));
}

// Browsers send scheme and host in lower case, and no port that is the scheme's own.
std::string cors_fault(std::string_view text) {
  const std::size_t scheme_end = text.find("://");
  if (text == "null") return "`null` is what any page in a sandbox sends";
  if (scheme_end == std::string_view::npos || !is_token(text.substr(0, scheme_end)) ||
      text.find('*') < scheme_end) {
    return "expected a scheme and a host such as https://app.example.org";
  }
  if (text != lower_case(text)) return "browsers send it in lower case";
  std::string_view host = text.substr(scheme_end + 3);
  if (host.starts_with("*.")) {
    host.remove_prefix(2);
    if (host.starts_with('[')) return "there are no names below an address";
  }
  if (host.find_first_of("/?#@*") != std::string_view::npos)
    return "nothing but a scheme, a host and a port; a star is a whole first label";
  const std::string_view scheme = text.substr(0, scheme_end);
  if ((scheme == "https" && host.ends_with(":443")) || (scheme == "http" && host.ends_with(":80")))
    return "browsers leave the usual port out";
  const bool is_host = is_host_name(host) || is_bare_ip6(host) ||
                       (parse_address(host).has_value() && !host.starts_with(':'));
  return is_host ? "" : "expected a scheme and a host such as https://app.example.org";
}

// The single label under which a star stands; empty for other texts. Names below `localhost` are
// this machine's.
std::string_view label_under_star(std::string_view text) {
  const std::size_t star = text.find("*.");
  if (star == std::string_view::npos) return {};
  const std::string_view name = text.substr(star + 2, text.find(':', star) - star - 2);
  return name.find('.') == std::string_view::npos && name != "localhost" ? name
                                                                         : std::string_view{};
}

void read_cors_sources(Reader& reader, const Key& key, const Node& value, void* object) {
  CorsDraft& draft = *static_cast<CorsDraft*>(object);
  draft.has_list = true;
  draft.cors_place = value.place;
  const auto items = reader.items(key, value);
  for (const Node* item : items) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (*text == "*") {
      draft.cors.cors_any = true;
    } else if (const std::string fault = cors_fault(*text); !fault.empty()) {
      reader.error(item->place, "`origins`: " + in_quotes(*text) + ": " + fault);
    } else {
      draft.cors.allow_origins.emplace_back(*text);
      if (const std::string_view label = label_under_star(*text); !label.empty()) {
        reader.warning(
            item->place,
            "`origins`: " + in_quotes(*text) + ": every name right below " + in_quotes(label),
            "names below a top-level domain are anybody's: write `*.example." + std::string(label) +
                "`");
      }
    }
  }
  if (items.empty()) reader.error(value.place, "`origins`: the list is empty");
  if (items.size() > Cors::kCorsMax) {
    reader.error(value.place, "`origins`: more than " + std::to_string(Cors::kCorsMax),
                 "`https://*.example.org` stands for all names below one");
  }
  if (draft.cors.cors_any && items.size() > 1)
    reader.error(value.place, "`origins`: `*` stands for all; nothing stands beside it");
}

// "GET, POST"
template <auto kMember, std::size_t kStar>
void read_names(Reader& reader, const Key& key, const Node& value, void* object) {
  CorsDraft& draft = *static_cast<CorsDraft*>(object);
  std::string& out = draft.cors.*kMember;
  out.clear();
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (!is_token(*text)) {
      reader.error(item->place,
                   "`" + std::string(key.name) + "`: " + in_quotes(*text) + " is not a name");
      continue;
    }
    if (*text == "*") draft.stars[kStar] = item->place;
    if (!out.empty()) out += ", ";
    out += *text;
  }
}

void read_credentials(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<CorsDraft*>(object)->cors.has_credentials);
}

void read_max_age(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<CorsDraft*>(object)->cors.max_age);
}

constexpr auto kCorsKeys = std::to_array<Key>({
    {.name = "origins",
     .type = Type::list,
     .read = read_cors_sources,
     .doc = "Whose pages: `https://app.example.org`, with the port if it is not the usual one; "
            "`https://*.example.org` is every name one label below; `*` alone is anybody, and "
            "never goes with `credentials`.",
     .is_required = true},
    {.name = "credentials",
     .type = Type::boolean,
     .read = read_credentials,
     .initial = "false",
     .doc = "Whether those pages may ask with the user's cookies and certificates."},
    {.name = "methods",
     .type = Type::list,
     .read = read_names<&Cors::methods, 0>,
     .initial = "[GET, HEAD, POST]",
     .doc = "Methods that they may use."},
    {.name = "headers",
     .type = Type::list,
     .read = read_names<&Cors::headers, 1>,
     .doc = "Fields that they may send, such as `Content-Type` and `Authorization`; browsers allow "
            "a few without that."},
    {.name = "expose",
     .type = Type::list,
     .read = read_names<&Cors::exposed, 2>,
     .doc = "Fields of the answer that they may read, besides those that browsers allow always."},
    {.name = "max_age",
     .type = Type::duration,
     .read = read_max_age,
     .initial = "10m",
     .doc = "So long a browser remembers what it was allowed; some take two hours at most.",
     .max = kDay},
});
constexpr Section kCors{"`cors`", kCorsKeys, {}};

void check_credentials(Reader& reader, const CorsDraft& draft) {
  if (!draft.cors.has_credentials) return;
  constexpr const char* kHint =
      "name them: with cookies, what is meant for one page is not for all";
  if (draft.cors.cors_any)
    reader.error(draft.cors_place, "`origins`: `*` does not go with `credentials`", kHint);
  for (const Place star : draft.stars) {
    if (star.line > 0) reader.error(star, "`*` does not go with `credentials`", kHint);
  }
}

}  // namespace

const Section& cors_section() {
  return kCors;
}

void read_cors(Reader& reader, const Key& /*key*/, const Node& value, void* object) {
  CorsDraft draft;
  draft.cors.methods = "GET, HEAD, POST";
  if (value.kind == NodeKind::scalar || value.kind == NodeKind::sequence) {
    read_cors_sources(reader, kCorsKeys.front(), value, &draft);
  } else {
    reader.read_section(kCors, value, &draft);
  }
  check_credentials(reader, draft);
  if (!draft.has_list) return;  // reported
  draft.cors.max_age_text = std::to_string(draft.cors.max_age.count() / 1000);
  *static_cast<std::optional<Cors>*>(object) = std::move(draft.cors);
}

}  // namespace portunus::conf
