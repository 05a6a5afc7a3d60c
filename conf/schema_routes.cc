#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "conf/admission_reader.h"
#include "conf/basic_auth_reader.h"
#include "conf/compression_reader.h"
#include "conf/cors_reader.h"
#include "conf/forward_auth_reader.h"
#include "conf/header_text.h"
#include "conf/patterns.h"
#include "conf/reader.h"
#include "conf/route_reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

void read_strip_prefix(Reader& reader, const Key& key, const Node& value, void* object) {
  RouteDraft& draft = *static_cast<RouteDraft*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  draft.strip_place = value.place;
  const auto pattern = parse_path_pattern(*text);
  if (!pattern) {
    reader.error(value.place, "`strip_prefix`: " + pattern.error());
  } else if (pattern->is_prefix || text->ends_with('/')) {
    reader.error(value.place,
                 "`strip_prefix`: whole segments without a slash at the end, such as /api");
  } else {
    draft.strip_prefix = pattern->path;
  }
}

void read_rewrite(Reader& reader, const Key& key, const Node& value, void* object) {
  RouteDraft& draft = *static_cast<RouteDraft*>(object);
  draft.rewrite_place = value.place;
  if (value.kind == NodeKind::scalar && !value.text.starts_with('/') && value.text != "{path}") {
    reader.error(value.place, "`rewrite`: a path starts with `/`", "such as /new/{path.rest}");
    return;
  }
  if (value.text.find_first_of("?#") != std::string_view::npos) {
    reader.error(value.place, "`rewrite` is the new path; the query stays as it is");
    return;
  }
  read_template(reader, key, value, draft.rewrite);
}

void read_route_name(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  const bool is_plain =
      is_target_text(*text) && text->find_first_of("\"\\") == std::string_view::npos;
  if (text->empty() || !is_plain || text->size() > kRouteNameMax) {
    reader.error(value.place,
                 "`name`: letters, digits and marks, without spaces, quotes and backslashes");
    return;
  }
  static_cast<RouteDraft*>(object)->route.name = *text;
}

constexpr auto kRouteLimitsKeys = std::to_array<Key>({
    {.name = "body_bytes",
     .type = Type::size,
     .read = field<&Route::body_bytes>,
     .doc = "Instead of the file's `limits.body_bytes`; 0 = no limit."},
});
constexpr Section kRouteLimits{"`limits` of a route", kRouteLimitsKeys, {}};

constexpr auto kRouteTimeoutsKeys = std::to_array<Key>({
    {.name = "total",
     .type = Type::duration,
     .read = field<&Route::total>,
     .doc = "Instead of the pool's `timeouts.total`; 0 = no limit.",
     .max = 365 * kDay},
});
constexpr Section kRouteTimeouts{"`timeouts` of a route", kRouteTimeoutsKeys, {}};

template <auto kMember>
void route_field(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<RouteDraft*>(object)->route.*kMember);
}

// limits and timeouts of a route write into the route itself.
void read_into_route(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read_section(*key.section, value, &static_cast<RouteDraft*>(object)->route);
}

template <ReadFunction kRead, auto kMember>
void route_part(Reader& reader, const Key& key, const Node& value, void* object) {
  kRead(reader, key, value, &(static_cast<RouteDraft*>(object)->route.*kMember));
}

// What a route says instead of its site; `off`: not even the site's.
template <ReadFunction kRead, auto kMember, auto kHasSites>
void instead_of_site(Reader& reader, const Key& key, const Node& value, void* object) {
  Route& route = static_cast<RouteDraft*>(object)->route;
  route.*kHasSites = false;
  if (value.kind == NodeKind::scalar && value.text == "off") return;
  kRead(reader, key, value, &(route.*kMember));
}

constexpr std::array kLaterRouteKeys{"retry"sv, "headers"sv};

bool uses_path_rest(const Template& parts) {
  return std::ranges::any_of(
      parts, [](const TemplatePart& p) { return p.kind == TemplateKind::path_rest; });
}

void check_path_rest(Reader& reader, const Match& match, Place place) {
  if (match.paths.empty()) return;
  if (std::ranges::none_of(match.paths, &PathPattern::is_prefix)) {
    reader.error(
        place, "`{path.rest}` is what a star stood for, and no `path` of this route ends in `/*`");
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-function-size): one table, a row for each key
const Section& route_section() {
  static const auto keys = std::to_array<Key>({
      {.name = "match",
       .type = Type::section,
       .read = route_field<&Route::match>,
       .doc = "Which requests; all, without it.",
       .section = &match_section()},
      {.name = "name",
       .type = Type::text,
       .read = read_route_name,
       .doc =
           "The `route` label of metrics and logs. Without it: the site's key and the first path, "
           "or the position."},
      {.name = "pool",
       .type = Type::text,
       .read = member<read_pool_use, &RouteDraft::action>,
       .doc = "The pool that answers."},
      {.name = "split",
       .type = Type::pairs,
       .read = member<read_split, &RouteDraft::action>,
       .doc = "`POOL: weight`, several: canary and blue-green."},
      {.name = "split_by",
       .type = Type::text,
       .read = member<read_split_by, &RouteDraft::action>,
       .initial = "client_ip",
       .doc = "What keeps to its pool while the weights stay: `client_ip`, `header:NAME`, "
              "`cookie:NAME` (without it, the address); `request`: nothing, each is drawn anew."},
      {.name = "redirect",
       .type = Type::section,
       .read = member<read_redirect, &RouteDraft::action>,
       .doc = "Send the client elsewhere. A single value is the `to`.",
       .section = &redirect_section(),
       .also = kAlsoText},
      {.name = "respond",
       .type = Type::section,
       .read = member<read_respond, &RouteDraft::action>,
       .doc = "Answer without a pool.",
       .section = &respond_section()},
      {.name = "strip_prefix",
       .type = Type::text,
       .read = read_strip_prefix,
       .doc = "Cut this from the front of the path that members see: `/api`."},
      {.name = "rewrite",
       .type = Type::text,
       .read = read_rewrite,
       .doc =
           "The path that members see: `/new/{path.rest}`; placeholders as in `redirect.to`. The "
           "query stays."},
      {.name = "request_headers",
       .type = Type::section,
       .read = route_part<read_request_headers, &Route::request_headers>,
       .doc = "Changes to what members get, after those of the site.",
       .section = &header_changes_section()},
      {.name = "response_headers",
       .type = Type::section,
       .read = route_part<read_response_headers, &Route::response_headers>,
       .doc = "Changes to what clients get, after those of the site.",
       .section = &header_changes_section()},
      {.name = "allow",
       .type = Type::list,
       .read = route_part<read_allow, &Route::addresses>,
       .doc = "Only clients with these addresses, or in these networks; others get 403. What the "
              "site says holds as well."},
      {.name = "deny",
       .type = Type::list,
       .read = route_part<read_deny, &Route::addresses>,
       .doc = "Not these clients, even if `allow` names them: they get 403. What the site says "
              "holds as well."},
      {.name = "rate_limit",
       .type = Type::section,
       .read = instead_of_site<read_rate_limit, &Route::rate_limit, &Route::has_site_limit>,
       .doc = "How often one client, or whatever `key` says, may ask; more is answered with 429. A "
              "single value is the `rate`; `off`: not even the site's.",
       .section = &rate_limit_section(),
       .also = kAlsoText},
      {.name = "basic_auth",
       .type = Type::section,
       .read = instead_of_site<read_basic_auth, &Route::basic_auth, &Route::has_site_auth>,
       .doc = "Only who has a name and a password comes in; instead of what the site says. `off`: "
              "anybody.",
       .section = &basic_auth_section(),
       .also = kAlsoText},
      {.name = "forward_auth",
       .type = Type::section,
       .read =
           instead_of_site<read_forward_auth, &Route::forward_auth, &Route::has_site_forward_auth>,
       .doc = "A service that is asked about each request before it goes on; instead of what the "
              "site says. `off`: nobody is asked.",
       .section = &forward_auth_section(),
       .also = kAlsoText},
      {.name = "compress",
       .type = Type::section,
       .read = instead_of_site<read_compression, &Route::compression, &Route::has_site_compression>,
       .doc = "Compress the answers of members for clients that take it. A single value is `on` or "
              "`off`; instead of what the site says.",
       .section = &compression_section(),
       .also = kAlsoText},
      {.name = "cors",
       .type = Type::section,
       .read = instead_of_site<read_cors, &Route::cors, &Route::has_site_cors>,
       .doc = "Which pages of other sites may read the answers; instead of what the site says. A "
              "list is the `origins`; `off`: what members say goes to the client as it is.",
       .section = &cors_section(),
       .also = kAlsoText | kAlsoList},
      {.name = "priority",
       .type = Type::choice,
       .read = route_field<&Route::priority>,
       .doc = "Instead of the site's.",
       .choices = kPriorities},
      {.name = "server_timing",
       .type = Type::boolean,
       .read = route_field<&Route::server_timing>,
       .doc = "Instead of the site's."},
      {.name = "limits",
       .type = Type::section,
       .read = read_into_route,
       .doc = "Instead of the file's.",
       .section = &kRouteLimits},
      {.name = "timeouts",
       .type = Type::section,
       .read = read_into_route,
       .doc = "Instead of the pool's.",
       .section = &kRouteTimeouts},
  });
  static const Section section{"a route", keys, kLaterRouteKeys};
  return section;
}

Route finish_route(Reader& reader, RouteDraft draft, Place place) {
  Route& route = draft.route;
  ActionDraft& action = draft.action;
  const bool is_forward = !action.redirect && !action.respond;
  for (const Place changed : {draft.strip_place, draft.rewrite_place}) {
    if (changed.line > 0 && !is_forward) {
      reader.error(changed, "only a route with a `pool` or a `split` can change the path");
    }
  }
  if (draft.strip_place.line > 0 && draft.rewrite_place.line > 0) {
    reader.error(draft.rewrite_place, "`strip_prefix` and `rewrite` exclude each other");
  }
  if (action.split_by_place.line > 0 && !action.is_split) {
    reader.error(action.split_by_place, "`split_by` works with `split` only");
  }
  if (uses_path_rest(draft.rewrite)) check_path_rest(reader, route.match, draft.rewrite_place);
  if (action.place.line == 0) {
    reader.error(place, "this route does nothing",
                 "give it one of `pool`, `split`, `redirect` and `respond`");
  }
  if (action.redirect) {
    if (uses_path_rest(action.redirect->to)) check_path_rest(reader, route.match, action.place);
    route.action = *std::move(action.redirect);
  } else if (action.respond) {
    route.action = *std::move(action.respond);
  } else {
    Forward forward;
    forward.strip_prefix = std::move(draft.strip_prefix);
    forward.rewrite = std::move(draft.rewrite);
    forward.split_by = std::move(action.split_by);
    auto& uses = reader.draft().pool_uses;
    for (std::size_t i = 0; i < action.pools.size(); ++i) {
      forward.shares.push_back({uses.size(), action.weights[i]});
      uses.push_back(std::move(action.pools[i]));
    }
    route.action = std::move(forward);
  }
  return std::move(draft.route);
}

}  // namespace portunus::conf
