// `split` and `split_by`: one route, several pools.
#include "conf/header_text.h"
#include "conf/reader.h"
#include "conf/route_reader.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::uint32_t kShareMax = 1'000'000;

}  // namespace

void read_split(Reader& reader, const Key& key, const Node& value, void* object) {
  static constexpr Key kWeight{.name = "weight", .type = Type::integer, .max = kShareMax};
  ActionDraft& action = *static_cast<ActionDraft*>(object);
  if (!take_action(reader, key, value, action)) return;
  action.is_split = true;
  std::uint64_t sum = 0;
  for (const auto& [name, item] : reader.entries(key, value)) {
    std::uint32_t weight = 1;
    reader.read(kWeight, *item, weight);
    action.pools.push_back({std::string(name->text), name->place});
    action.weights.push_back(weight);
    sum += weight;
  }
  if (sum == 0) reader.error(value.place, "`split`: at least one pool needs a weight above 0");
}

void read_split_by(Reader& reader, const Key& key, const Node& value, void* object) {
  constexpr std::size_t kPrefix = 7;  // of `header:` and `cookie:`
  ActionDraft& action = *static_cast<ActionDraft*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  action.split_by_place = value.place;
  const std::string_view name = text->size() > kPrefix ? text->substr(kPrefix) : std::string_view{};
  if (*text == "client_ip") {
    action.split_by = {SplitBy::client_ip, {}};
  } else if (*text == "request") {
    action.split_by = {SplitBy::request, {}};
  } else if (text->starts_with("header:") && is_token(name)) {
    action.split_by = {SplitBy::header, lower_case(name)};
  } else if (text->starts_with("cookie:") && is_token(name)) {
    action.split_by = {SplitBy::cookie, std::string(name)};
  } else {
    reader.error(value.place,
                 "`split_by`: `" + std::string(*text) +
                     "`: expected `client_ip`, `request`, `header:NAME` or `cookie:NAME`");
  }
}

}  // namespace portunus::conf
