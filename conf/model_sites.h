// Sites and their routes as the configuration describes them. See conf/model.h for what holds for all
// of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "conf/model_admission.h"
#include "conf/model_basic_auth.h"
#include "conf/model_compression.h"
#include "conf/model_cors.h"
#include "conf/model_forward_auth.h"
#include "conf/model_values.h"
#include "net/client_authority.h"

namespace portunus::conf {

struct HeaderField {
  std::string name;  // lower case
  std::string value;
  friend bool operator==(const HeaderField&, const HeaderField&) = default;
};

// Done in this order: remove, set, add, defaults.
struct HeaderChanges {
  std::vector<HeaderField> set;
  std::vector<HeaderField> add;
  std::vector<std::string> remove;    // lower case
  std::vector<HeaderField> defaults;  // set where the message has none
  friend bool operator==(const HeaderChanges&, const HeaderChanges&) = default;
};

// `/api/*` is {"/api", true} and matches /api and all below it; `/api` is {"/api", false}; `/*` is
// {"/", true}. Paths never end in a slash unless written so for an exact match.
struct PathPattern {
  std::string path = "/";
  bool is_prefix = true;
  friend bool operator==(const PathPattern&, const PathPattern&) = default;
};

enum class FieldTest : std::uint8_t { present, exact, prefix };

// A header field (name in lower case) or a query parameter (name as written).
struct FieldMatch {
  std::string name;
  FieldTest test = FieldTest::present;
  std::string value;  // without the star of a prefix
  friend bool operator==(const FieldMatch&, const FieldMatch&) = default;
};

// All given parts must hold; an empty part always does. Inside paths and methods one is enough.
struct Match {
  std::vector<PathPattern> paths;
  std::vector<std::string> methods;
  std::vector<FieldMatch> headers;
  std::vector<FieldMatch> query;
  friend bool operator==(const Match&, const Match&) = default;
};

// path_rest is what the star of the matched path stood for, without its leading slash; query is
// without `?`.
enum class TemplateKind : std::uint8_t { literal, path, path_rest, query, host, scheme };

struct TemplatePart {
  TemplateKind kind = TemplateKind::literal;
  std::string text;  // of a literal
  friend bool operator==(const TemplatePart&, const TemplatePart&) = default;
};

using Template = std::vector<TemplatePart>;

struct PoolShare {
  std::size_t pool = 0;  // index into Model::pools
  std::uint32_t weight = 1;
  friend bool operator==(const PoolShare&, const PoolShare&) = default;
};

// By what a split places requests: each one anew, or all with the same value alike.
enum class SplitBy : std::uint8_t { client_ip, request, header, cookie };

struct SplitKey {
  SplitBy by = SplitBy::client_ip;
  std::string name;  // of the header (lower case) or cookie
  friend bool operator==(const SplitKey&, const SplitKey&) = default;
};

// To members. One share for `pool`, several for `split`; the sum of the weights is above zero.
struct Forward {
  std::vector<PoolShare> shares;
  SplitKey split_by = {};
  std::string
      strip_prefix;  // whole segments, such as "/api"; empty = none. Never together with rewrite
  Template rewrite;  // new path; the query stays. Empty = none
  friend bool operator==(const Forward&, const Forward&) = default;
};

struct Redirect {
  Template to;
  std::uint16_t code = 308;
  bool keep_query =
      true;  // append `?` and the client's query, if any; false when `to` has a `?` of its own
  friend bool operator==(const Redirect&, const Redirect&) = default;
};

struct Respond {
  std::uint16_t status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  std::vector<HeaderField> headers;
  friend bool operator==(const Respond&, const Respond&) = default;
};

// What is refused first when Portunus itself is short.
enum class Priority : std::uint8_t { low, normal, high };

struct Route {
  std::string name;  // unique in its site; the label of metrics, with the site's key in front
                     // unless given by the user
  Match match;
  std::variant<Forward, Redirect, Respond> action;
  HeaderChanges request_headers;            // after those of the site
  HeaderChanges response_headers;           // after those of the site
  std::optional<std::uint64_t> body_bytes;  // instead of Limits::body_bytes; 0 = no limit
  std::optional<Milliseconds> total;        // instead of PoolTimeouts::total; 0 = no limit
  AddressLists addresses;                   // besides those of the site
  std::optional<RateLimit> rate_limit;      // instead of the site's
  bool has_site_limit = true;               // false with one of its own, and with none at all
  std::optional<BasicAuth> basic_auth;      // instead of the site's
  bool has_site_auth = true;                // false with one of its own, and with none at all
  std::optional<ForwardAuth> forward_auth;  // instead of the site's
  bool has_site_forward_auth = true;        // false with one of its own, and with none at all
  std::optional<Compression> compression;   // instead of the site's
  bool has_site_compression = true;         // false with one of its own, and with none at all
  std::optional<Cors> cors;                 // instead of the site's
  bool has_site_cors = true;                // false with one of its own, and with none at all
  std::optional<Priority> priority;         // instead of the site's
  std::optional<bool> server_timing;        // instead of the site's
  friend bool operator==(const Route&, const Route&) = default;
};

// Where a site that is on a listener with TLS has its certificates from.
enum class SiteTls : std::uint8_t {
  common,    // Tls::certificates that name its hosts
  own,       // Site::certificates
  internal,  // our own authority
};

// The certificate that clients of a site show.
struct ClientAuth {
  std::size_t authority = 0;  // index into Model::client_authorities
  net::ClientRule rule;       // with what that has loaded
  friend bool operator==(const ClientAuth&, const ClientAuth&) = default;
};

struct Site {
  std::string name;  // its key in the file
  std::vector<std::string>
      hosts;  // key and aliases, lower case: exact names, `*.name` (one label) or `*` (any)
  std::vector<std::size_t> listeners;  // indexes into Model::listeners; never empty
  SiteTls tls = SiteTls::common;
  std::vector<std::size_t> certificates;  // indexes into Model::certificates
  std::optional<ClientAuth> client_auth;  // then no listener without TLS serves it
  HeaderChanges request_headers;
  HeaderChanges response_headers;
  AddressLists addresses;
  std::optional<RateLimit> rate_limit;  // of all routes together that have the site's
  std::optional<BasicAuth> basic_auth;
  std::optional<ForwardAuth> forward_auth;
  std::optional<Compression> compression;
  std::optional<Cors> cors;
  Priority priority = Priority::normal;
  bool server_timing = false;
  std::vector<Route> routes;  // first match wins; never empty
  friend bool operator==(const Site&, const Site&) = default;
};

}  // namespace portunus::conf
