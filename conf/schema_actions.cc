// What a route does: a pool, `redirect` and `respond`. `split` is in schema_split.cc.
#include <array>
#include <string>
#include <utility>

#include "conf/header_text.h"
#include "conf/patterns.h"
#include "conf/reader.h"
#include "conf/route_reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kRespondBodyMax = 1U << 20U;

void read_redirect_to(Reader& reader, const Key& key, const Node& value, void* object) {
  Redirect& redirect = *static_cast<Redirect*>(object);
  read_template(reader, key, value, redirect.to);
  if (redirect.to.empty() && !value.text.empty()) return;  // reported
  const std::string_view text = value.text;
  const bool is_path = text.starts_with('/') && !text.starts_with("//");
  if (!is_path && !text.starts_with("http://") && !text.starts_with("https://") &&
      !text.starts_with("{scheme}://") && !text.starts_with("{path}")) {
    reader.error(value.place, "`to`: expected a path or a whole URL",
                 "such as /new/{path.rest} or https://{host}{path}");
  }
  redirect.keep_query = text.find('?') == std::string_view::npos;
}

constexpr std::array kRedirectCodes{"301"sv, "302"sv, "303"sv, "307"sv, "308"sv};
constexpr std::array<std::uint16_t, 5> kRedirectNumbers{301, 302, 303, 307, 308};

void read_redirect_code(Reader& reader, const Key& key, const Node& value, void* object) {
  if (const auto index = reader.read_choice(key, value)) {
    static_cast<Redirect*>(object)->code = kRedirectNumbers[*index];
  }
}

constexpr auto kRedirectKeys = std::to_array<Key>({
    {.name = "to",
     .type = Type::text,
     .read = read_redirect_to,
     .doc = "A path or a whole URL; may hold `{path}`, `{path.rest}` (what the star stood for), "
            "`{query}`, `{host}` and "
            "`{scheme}`. The client's query is kept unless `to` has a `?`.",
     .is_required = true},
    {.name = "code",
     .type = Type::choice,
     .read = read_redirect_code,
     .initial = "308",
     .doc = "The status of the answer.",
     .choices = kRedirectCodes},
});
constexpr Section kRedirect{"`redirect`", kRedirectKeys, {}};

void read_content_type(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  if (text->empty() || !is_field_value(*text)) {
    reader.error(value.place, "`content_type`: expected a media type such as text/plain");
    return;
  }
  static_cast<Respond*>(object)->content_type = *text;
}

void read_respond_body(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<Respond*>(object)->body);
  if (value.text.size() > kRespondBodyMax) {
    reader.error(value.place, "`body`: more than 1MiB", "a pool serves larger files");
  }
}

void read_respond_headers(Reader& reader, const Key& key, const Node& value, void* object) {
  read_fields(reader, key, value, static_cast<Respond*>(object)->headers);
}

constexpr auto kRespondKeys = std::to_array<Key>({
    {.name = "status",
     .type = Type::integer,
     .read = field<&Respond::status>,
     .initial = "200",
     .doc = "The status of the answer.",
     .min = 200,
     .max = 599},
    {.name = "body",
     .type = Type::text,
     .read = read_respond_body,
     .initial = "\"\"",
     .doc = "Sent as it stands; at most 1MiB."},
    {.name = "content_type",
     .type = Type::text,
     .read = read_content_type,
     .initial = "text/plain; charset=utf-8",
     .doc = "Of the body."},
    {.name = "headers",
     .type = Type::pairs,
     .read = read_respond_headers,
     .doc = "Further fields of the answer: `NAME: value` or `NAME: [values]`."},
});
constexpr Section kRespond{"`respond`", kRespondKeys, {}};

}  // namespace

void read_template(Reader& reader, const Key& key, const Node& value, Template& out) {
  const auto text = reader.text(key, value);
  if (!text) return;
  if (auto parts = parse_template(*text)) {
    out = *std::move(parts);
  } else {
    reader.error(value.place, "`" + std::string(key.name) + "`: " + parts.error());
  }
}

const Section& redirect_section() {
  return kRedirect;
}

const Section& respond_section() {
  return kRespond;
}

bool take_action(Reader& reader, const Key& key, const Node& value, ActionDraft& action) {
  if (action.place.line > 0) {
    reader.error(value.place,
                 "`" + std::string(key.name) + "`: this route already has something to do",
                 "one of `pool`, `split`, `redirect` and `respond`; the other one is at " +
                     reader.describe(action.place));
    return false;
  }
  action.place = value.place;
  return true;
}

void read_pool_use(Reader& reader, const Key& key, const Node& value, void* object) {
  ActionDraft& action = *static_cast<ActionDraft*>(object);
  const auto text = reader.text(key, value);
  if (!take_action(reader, key, value, action) || !text) return;
  action.pools.push_back({std::string(*text), value.place});
  action.weights.push_back(1);
}

void read_redirect(Reader& reader, const Key& key, const Node& value, void* object) {
  ActionDraft& action = *static_cast<ActionDraft*>(object);
  if (!take_action(reader, key, value, action)) return;
  Redirect& redirect = action.redirect.emplace();
  if (value.kind == NodeKind::scalar) {
    read_redirect_to(reader, kRedirectKeys.front(), value, &redirect);
  } else {
    reader.read_section(kRedirect, value, &redirect);
  }
}

void read_respond(Reader& reader, const Key& key, const Node& value, void* object) {
  ActionDraft& action = *static_cast<ActionDraft*>(object);
  if (!take_action(reader, key, value, action)) return;
  Respond& respond = action.respond.emplace();
  reader.read_section(kRespond, value, &respond);
  const bool has_no_body = respond.status == 204 || respond.status == 205 || respond.status == 304;
  if (has_no_body && !respond.body.empty()) {
    reader.error(value.place, "`respond`: an answer of status " + std::to_string(respond.status) +
                                  " has no body");
  }
}

}  // namespace portunus::conf
