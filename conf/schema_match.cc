#include <algorithm>
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

// Framing and hop-by-hop fields are ours: RFC 9110, section 7.6.1.
constexpr std::array kOwnFields{
    "connection"sv, "content-length"sv, "keep-alive"sv,        "proxy-connection"sv,
    "te"sv,         "trailer"sv,        "transfer-encoding"sv, "upgrade"sv};

// ---- match ----

void read_paths(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (auto pattern = parse_path_pattern(*text)) {
      static_cast<Match*>(object)->paths.push_back(*std::move(pattern));
    } else {
      reader.error(item->place, "`path`: " + pattern.error());
    }
  }
}

void read_methods(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    const bool has_small = std::ranges::any_of(*text, [](char c) { return c >= 'a' && c <= 'z'; });
    if (!is_token(*text) || has_small) {
      reader.error(item->place, "`method`: `" + std::string(*text) +
                                    "`: expected a method in capitals, such as GET");
      continue;
    }
    static_cast<Match*>(object)->methods.emplace_back(*text);
  }
}

FieldMatch make_field_match(std::string name, std::string_view value) {
  if (value == "*") return {std::move(name), FieldTest::present, {}};
  if (value.ends_with('*')) {
    value.remove_suffix(1);
    return {std::move(name), FieldTest::prefix, std::string(value)};
  }
  return {std::move(name), FieldTest::exact, std::string(value)};
}

void read_header_match(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const auto& [name, item] : reader.entries(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (!is_token(name->text)) {
      reader.error(name->place,
                   "`" + std::string(name->text) + "` is not the name of a header field");
    } else if (!is_field_value(*text)) {
      reader.error(item->place, "this cannot be the value of a header field");
    } else {
      static_cast<Match*>(object)->headers.push_back(
          make_field_match(lower_case(name->text), *text));
    }
  }
}

void read_query_match(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const auto& [name, item] : reader.entries(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (name->text.empty()) {
      reader.error(name->place, "the name of a query parameter is empty");
      continue;
    }
    static_cast<Match*>(object)->query.push_back(make_field_match(std::string(name->text), *text));
  }
}

constexpr auto kMatchKeys = std::to_array<Key>({
    {.name = "path",
     .type = Type::list,
     .read = read_paths,
     .doc = "`/api/*` is `/api` and all below it, `/api` only itself. One of several is enough."},
    {.name = "method",
     .type = Type::list,
     .read = read_methods,
     .doc = "Such as `[GET, HEAD]`. One of several is enough."},
    {.name = "header",
     .type = Type::pairs,
     .read = read_header_match,
     .doc = "`NAME: value`; `\"*\"` = any value, `abc*` = values that begin so. All must hold."},
    {.name = "query",
     .type = Type::pairs,
     .read = read_query_match,
     .doc = "Parameters of the query, in the same way as `header`."},
});
constexpr Section kMatch{"`match`", kMatchKeys, {}};

// ---- header changes ----

bool check_field_name(Reader& reader, const Node& node) {
  if (!is_token(node.text)) {
    reader.error(node.place, "`" + std::string(node.text) + "` is not the name of a header field");
    return false;
  }
  if (std::ranges::find(kOwnFields, lower_case(node.text)) != kOwnFields.end()) {
    reader.error(node.place, "`" + std::string(node.text) +
                                 "` belongs to the connection: Portunus writes it itself");
    return false;
  }
  return true;
}

// A name once, with one value.
void read_set(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const auto& [name, body] : reader.entries(key, value)) {
    if (body->kind == NodeKind::sequence) {
      reader.error(body->place, "`set` takes one value for each name", "`add` takes several");
      return;
    }
  }
  read_fields(reader, key, value, static_cast<HeaderChanges*>(object)->set);
}

void read_add(Reader& reader, const Key& key, const Node& value, void* object) {
  read_fields(reader, key, value, static_cast<HeaderChanges*>(object)->add);
}

void read_remove(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const Node* item : reader.items(key, value)) {
    if (reader.text(key, *item) && check_field_name(reader, *item)) {
      static_cast<HeaderChanges*>(object)->remove.push_back(lower_case(item->text));
    }
  }
}

constexpr auto kHeaderChangesKeys = std::to_array<Key>({
    {.name = "set",
     .type = Type::pairs,
     .read = read_set,
     .doc =
         "`NAME: value`: takes the place of all fields of that name. A value `file:/path` is what "
         "that file holds, for secrets."},
    {.name = "add",
     .type = Type::pairs,
     .read = read_add,
     .doc = "`NAME: value` or `NAME: [values]`: besides what is there. `file:/path` as in `set`."},
    {.name = "remove",
     .type = Type::list,
     .read = read_remove,
     .doc = "Names. Done first, then `set`, then `add`."},
});
constexpr Section kHeaderChanges{"header changes", kHeaderChangesKeys, {}};

}  // namespace

const Section& match_section() {
  return kMatch;
}
const Section& header_changes_section() {
  return kHeaderChanges;
}

void read_fields(Reader& reader, const Key& key, const Node& value, std::vector<HeaderField>& out) {
  for (const auto& [name, body] : reader.entries(key, value)) {
    if (!check_field_name(reader, *name)) continue;
    for (const Node* item : reader.items(key, *body)) {
      const auto text = reader.secret(key, *item);
      if (!text) continue;
      if (!is_field_value(*text)) {
        reader.error(item->place, "this cannot be the value of a header field");
        continue;
      }
      out.push_back({lower_case(name->text), std::string(*text)});
    }
  }
}

void read_request_headers(Reader& reader, const Key& /*key*/, const Node& value, void* object) {
  HeaderChanges& changes = *static_cast<HeaderChanges*>(object);
  reader.read_section(kHeaderChanges, value, &changes);
  const auto is_host = [](const HeaderField& f) {
    return f.name == "host";
  };
  if (std::ranges::any_of(changes.set, is_host) || std::ranges::any_of(changes.add, is_host) ||
      std::ranges::find(changes.remove, "host") != changes.remove.end()) {
    reader.error(value.place, "`request_headers` cannot change `Host`",
                 "a pool has the key `host` for this");
  }
}

void read_response_headers(Reader& reader, const Key& /*key*/, const Node& value, void* object) {
  reader.read_section(kHeaderChanges, value, object);
}

}  // namespace portunus::conf
