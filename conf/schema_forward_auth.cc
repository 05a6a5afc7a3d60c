// `forward_auth` of a site or a route: the service that is asked about each request.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "conf/forward_auth_reader.h"
#include "conf/header_text.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

struct ForwardAuthDraft {
  ForwardAuth rule;
  NameUse pool;
};

void read_auth_pool(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (text) static_cast<ForwardAuthDraft*>(object)->pool = {std::string(*text), value.place};
}

void read_auth_path(Reader& reader, const Key& key, const Node& value, void* object) {
  ForwardAuth& rule = static_cast<ForwardAuthDraft*>(object)->rule;
  const auto text = reader.text(key, value);
  if (!text) return;
  if (!text->starts_with('/') || !is_target_text(*text) ||
      text->find('#') != std::string_view::npos) {
    reader.error(value.place, "`path`: expected a path, maybe with a query", "such as /verify");
    return;
  }
  const std::size_t mark = text->find('?');
  rule.path = text->substr(0, mark);
  rule.has_query = mark != std::string_view::npos;
  if (rule.has_query) rule.query = text->substr(mark + 1);
}

// Those that say how a message is framed, who has asked for what, or what its body is.
bool has_own_meaning(std::string_view name) {
  constexpr auto kNames = std::to_array<std::string_view>(
      {"connection", "cookie", "expect", "forwarded", "host", "http2-settings", "keep-alive",
       "range", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-real-ip",
       "x-request-id"});
  constexpr auto kBeginnings =
      std::to_array<std::string_view>({"access-control-", "client-cert", "content-", "if-",
                                       "proxy-", "sec-", "x-client-cert", "x-forwarded-"});
  return std::ranges::find(kNames, name) != kNames.end() ||
         std::ranges::any_of(kBeginnings, [&](auto each) { return name.starts_with(each); });
}

void read_copied_fields(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& names = static_cast<ForwardAuthDraft*>(object)->rule.copied_fields;
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    std::string name = lower_case(*text);
    if (!is_token(name) || name.find_first_of("_.") != std::string::npos || has_own_meaning(name)) {
      reader.error(item->place, "`copy_headers`: " + in_quotes(*text) + " cannot be copied",
                   "such as Remote-User or X-Auth-Groups");
    } else if (std::ranges::find(names, name) != names.end()) {
      reader.error(item->place, "`copy_headers`: " + in_quotes(*text) + " stands there twice");
    } else if (names.size() == ForwardAuth::kFieldsMax) {
      reader.error(item->place,
                   "`copy_headers`: more than " + std::to_string(ForwardAuth::kFieldsMax));
      return;
    } else {
      names.push_back(std::move(name));
    }
  }
}

void read_auth_timeout(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<ForwardAuthDraft*>(object)->rule.timeout);
}

constexpr auto kForwardAuthKeys = std::to_array<Key>({
    {.name = "pool",
     .type = Type::text,
     .read = read_auth_pool,
     .doc = "The pool of the service; its rules for retries, time-outs and members hold.",
     .is_required = true},
    {.name = "path",
     .type = Type::text,
     .read = read_auth_path,
     .initial = "/",
     .doc = "What it is asked for, with GET; a query may follow."},
    {.name = "copy_headers",
     .type = Type::list,
     .read = read_copied_fields,
     .doc = "Fields of its answer that the request goes on with, such as `Remote-User`. What "
            "clients say there is dropped, on all routes of the site."},
    {.name = "timeout",
     .type = Type::duration,
     .read = read_auth_timeout,
     .initial = "5s",
     .doc = "For its answer, all tries together; then the client gets 504.",
     .min = 1,
     .max = kDay},
});
constexpr Section kForwardAuth{"`forward_auth`", kForwardAuthKeys, {}};

}  // namespace

const Section& forward_auth_section() {
  return kForwardAuth;
}

void read_forward_auth(Reader& reader, const Key& key, const Node& value, void* object) {
  ForwardAuthDraft draft;
  reader.read_section(*key.section, value, &draft);
  if (draft.pool.name.empty()) return;  // reported
  auto& uses = reader.draft().pool_uses;
  draft.rule.pool = uses.size();
  uses.push_back(std::move(draft.pool));
  *static_cast<std::optional<ForwardAuth>*>(object) = std::move(draft.rule);
}

}  // namespace portunus::conf
