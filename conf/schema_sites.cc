#include <array>
#include <string>
#include <utility>

#include "conf/admission_reader.h"
#include "conf/basic_auth_reader.h"
#include "conf/compression_reader.h"
#include "conf/cors_reader.h"
#include "conf/draft.h"
#include "conf/forward_auth_reader.h"
#include "conf/model.h"
#include "conf/patterns.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/route_reader.h"
#include "conf/schema.h"
#include "conf/tls_reader.h"
#include "conf/tree.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

// A site while it is read.
struct SiteBody {
  Site site;
  SiteDraft draft;
  ActionDraft rest;  // of requests that no route takes
};

void read_aliases(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (auto host = parse_host(*text)) {
      static_cast<SiteBody*>(object)->draft.hosts.push_back({*std::move(host), item->place});
    } else {
      reader.error(item->place, "`aliases`: " + host.error());
    }
  }
}

void read_listener_uses(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const Node* item : reader.items(key, value)) {
    if (const auto text = reader.text(key, *item)) {
      static_cast<SiteBody*>(object)->draft.listeners.push_back({std::string(*text), item->place});
    }
  }
}

void read_routes(Reader& reader, const Key& key, const Node& value, void* object) {
  SiteBody& body = *static_cast<SiteBody*>(object);
  const auto items = reader.items(key, value);
  body.site.routes.reserve(items.size() + 1);
  for (const Node* item : items) {
    RouteDraft route;
    reader.read_section(*key.section, *item, &route);
    body.site.routes.push_back(finish_route(reader, std::move(route), item->place));
    body.draft.route_places.push_back(item->place);
  }
}

template <ReadFunction kRead, auto kMember>
void site_part(Reader& reader, const Key& key, const Node& value, void* object) {
  kRead(reader, key, value, &(static_cast<SiteBody*>(object)->site.*kMember));
}

void read_priority(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<SiteBody*>(object)->site.priority);
}

void read_server_timing(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<SiteBody*>(object)->site.server_timing);
}

void read_tls(Reader& reader, const Key& key, const Node& value, void* object) {
  SiteBody& body = *static_cast<SiteBody*>(object);
  TlsDraft tls;
  read_site_tls(reader, key, value, &tls);
  body.draft.tls_place = value.place;
  body.draft.is_tls_off = tls.is_off;
  body.site.tls = tls.source;
  body.site.certificates = std::move(tls.certificates);
  body.site.client_auth = std::move(tls.client_auth);
}

void read_headers(Reader& reader, const Key& key, const Node& value, void* object) {
  SiteBody& body = *static_cast<SiteBody*>(object);
  if (value.kind == NodeKind::scalar && value.text == "security") {
    body.draft.has_security_headers = true;
  } else if (value.kind == NodeKind::scalar) {
    reader.error(value.place, "`headers`: expected `security`, or names and values");
  } else {
    read_fields(reader, key, value, body.site.response_headers.set);
  }
}

void read_redirect_http(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<SiteBody*>(object)->draft.redirects_http);
}

constexpr std::array kLaterSiteKeys{"retry"sv};

// Fills a site's listener and hosts from its key.
bool read_site_key(Reader& reader, const Node& name, SiteBody& body) {
  const auto key = parse_site_key(name.text);
  if (!key) {
    reader.error(name.place, "the site " + key.error());
    return false;
  }
  body.site.name = name.text;
  body.draft.place = name.place;
  body.draft.hosts.push_back({key->host, name.place});
  body.draft.has_own_listener = key->has_scheme;
  body.draft.is_https = key->is_https;
  body.draft.listener = key->listener;
  return true;
}

// The short forms: members themselves.
void read_members(Reader& reader, const Node& value, SiteBody& body) {
  Draft& draft = reader.draft();
  if (value.kind == NodeKind::scalar && draft.pool_names.contains(std::string(value.text))) {
    reader.error(value.place, "`" + std::string(value.text) + "` is a pool: write it as { pool: " +
                                  std::string(value.text) + " }");
    return;
  }
  Pool pool = read_pool(reader, value);
  pool.name = body.site.name;
  body.rest.place = value.place;
  body.rest.pools.push_back({pool.name, value.place, draft.model.pools.size()});
  body.rest.weights.push_back(1);
  draft.model.pools.push_back(std::move(pool));
  draft.pool_places.push_back(value.place);
}

void read_site(Reader& reader, const Section& section, const Reader::Entry& entry) {
  Draft& draft = reader.draft();
  SiteBody body;
  if (!read_site_key(reader, *entry.key, body)) return;
  const auto [known, is_new] = draft.site_names.emplace(body.site.name, draft.sites.size());
  if (!is_new) {
    reader.report_second(*entry.key, "the site", draft.sites[known->second].place);
    return;
  }
  const NodeKind kind = entry.value->kind;
  if (kind == NodeKind::scalar || kind == NodeKind::sequence) {
    read_members(reader, *entry.value, body);
  } else {
    reader.read_section(section, *entry.value, &body);
    if (body.site.routes.empty() && body.rest.place.line == 0) {
      reader.error(entry.key->place, "the site `" + body.site.name + "` has nothing to serve",
                   "give it `routes`, or one of `pool`, `split`, `redirect` and `respond`");
    }
  }
  if (body.rest.place.line == 0 && body.rest.split_by_place.line > 0) {
    reader.error(body.rest.split_by_place, "`split_by` works with `split` only");
  }
  if (body.rest.place.line > 0) {
    RouteDraft last;
    const Place place = body.rest.place;
    last.action = std::move(body.rest);
    body.site.routes.push_back(finish_route(reader, std::move(last), place));
    body.draft.route_places.push_back(place);
  }
  draft.model.sites.push_back(std::move(body.site));
  draft.sites.push_back(std::move(body.draft));
}

}  // namespace

// NOLINTNEXTLINE(readability-function-size): a table
const Section& site_section() {
  static const auto keys = std::to_array<Key>({
      {.name = "aliases",
       .type = Type::list,
       .read = read_aliases,
       .doc = "Further hosts of the site."},
      {.name = "listeners",
       .type = Type::list,
       .read = read_listener_uses,
       .doc = "Names of listeners. Without it: the one that the key makes, or all of `listeners`."},
      {.name = "tls",
       .type = Type::section,
       .read = read_tls,
       .doc =
           "`off`; `internal`, a certificate of an authority of our own; or `{ cert, key }`, or a "
           "list of such, one for each kind of key. Without it: the certificates of the file's "
           "`tls` that name the site's hosts, if there are any. `client_ca` goes with each of "
           "them.",
       .section = &site_tls_section(),
       .also = kAlsoText | kAlsoList},
      {.name = "redirect_http",
       .type = Type::boolean,
       .read = read_redirect_http,
       .initial = "true",
       .doc = "With TLS: requests to a listener without it are redirected (308). `false`: they are "
              "served there as well."},
      {.name = "headers",
       .type = Type::pairs,
       .read = read_headers,
       .doc = "`security`: clients get `Strict-Transport-Security` (over TLS only), "
              "`X-Content-Type-Options`, and, where the member does not send them, "
              "`X-Frame-Options`, `Referrer-Policy` and `Content-Security-Policy`. Or names and "
              "values that are set.",
       .also = kAlsoText},
      {.name = "allow",
       .type = Type::list,
       .read = site_part<read_allow, &Site::addresses>,
       .doc = "Only clients with these addresses, or in these networks; others get 403, whatever a "
              "route says."},
      {.name = "deny",
       .type = Type::list,
       .read = site_part<read_deny, &Site::addresses>,
       .doc = "Not these clients, even if `allow` names them: they get 403."},
      {.name = "rate_limit",
       .type = Type::section,
       .read = site_part<read_rate_limit, &Site::rate_limit>,
       .doc = "How often one client, or whatever `key` says, may ask; more is answered with 429. "
              "Counted for all routes together that have none of their own. A single value is the "
              "`rate`.",
       .section = &rate_limit_section(),
       .also = kAlsoText},
      {.name = "basic_auth",
       .type = Type::section,
       .read = site_part<read_basic_auth, &Site::basic_auth>,
       .doc = "Only who has a name and a password comes in (RFC 7617); others get 401. Over HTTP "
              "without TLS everybody on the way can read them.",
       .section = &basic_auth_section()},
      {.name = "forward_auth",
       .type = Type::section,
       .read = site_part<read_forward_auth, &Site::forward_auth>,
       .doc = "A service that is asked about each request before it goes on: an answer of 2xx lets "
              "it pass, any other goes to the client.",
       .section = &forward_auth_section()},
      {.name = "compress",
       .type = Type::section,
       .read = site_part<read_compression, &Site::compression>,
       .doc = "Compress the answers of members for clients that take it. A single value is `on` or "
              "`off`.",
       .section = &compression_section(),
       .also = kAlsoText},
      {.name = "cors",
       .type = Type::section,
       .read = site_part<read_cors, &Site::cors>,
       .doc = "Which pages of other sites may read the answers. A list is the `origins`.",
       .section = &cors_section(),
       .also = kAlsoText | kAlsoList},
      {.name = "priority",
       .type = Type::choice,
       .read = read_priority,
       .initial = "normal",
       .doc = "Which requests are refused (503) when Portunus itself is short (`overload` of the "
              "file): those to routes of `low` priority first, then `normal` ones; `high` ones, "
              "such as health checks, never.",
       .choices = kPriorities},
      {.name = "server_timing",
       .type = Type::boolean,
       .read = read_server_timing,
       .initial = "false",
       .doc = "Answers say in a `Server-Timing` field where their time went: queue, connection, "
              "member. Whoever may read an answer sees how busy things are."},
      {.name = "routes",
       .type = Type::list,
       .read = read_routes,
       .doc = "The first one that matches takes the request; 404 if none does.",
       .section = &route_section()},
      {.name = "pool",
       .type = Type::text,
       .read = member<read_pool_use, &SiteBody::rest>,
       .doc = "The pool for what no route takes."},
      {.name = "split",
       .type = Type::pairs,
       .read = member<read_split, &SiteBody::rest>,
       .doc = "As in a route, for what no route takes."},
      {.name = "split_by",
       .type = Type::text,
       .read = member<read_split_by, &SiteBody::rest>,
       .initial = "client_ip",
       .doc = "As in a route, for the site's own `split`."},
      {.name = "redirect",
       .type = Type::section,
       .read = member<read_redirect, &SiteBody::rest>,
       .doc = "As in a route, for what no route takes.",
       .section = &redirect_section(),
       .also = kAlsoText},
      {.name = "respond",
       .type = Type::section,
       .read = member<read_respond, &SiteBody::rest>,
       .doc = "As in a route, for what no route takes.",
       .section = &respond_section()},
      {.name = "request_headers",
       .type = Type::section,
       .read = site_part<read_request_headers, &Site::request_headers>,
       .doc = "Changes to what members get.",
       .section = &header_changes_section()},
      {.name = "response_headers",
       .type = Type::section,
       .read = site_part<read_response_headers, &Site::response_headers>,
       .doc = "Changes to what clients get.",
       .section = &header_changes_section()},
  });
  static const Section site{"a site", keys, kLaterSiteKeys};
  return site;
}

void read_sites(Reader& reader, const Key& key, const Node& value, void* /*object*/) {
  for (const Reader::Entry& entry : reader.entries(key, value)) {
    read_site(reader, *key.section, entry);
  }
}

}  // namespace portunus::conf
