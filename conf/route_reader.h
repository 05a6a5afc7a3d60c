// What reading sites needs from reading routes: the parts that both have, and routes themselves.
// Part of the schema; on the stack of one load.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/schema.h"

namespace portunus::conf {

// What a route does; a site may say it without a route. One of the four is given.
struct ActionDraft {
  std::vector<NameUse> pools;
  std::vector<std::uint32_t> weights;  // as pools
  std::optional<Redirect> redirect;
  std::optional<Respond> respond;
  Place place;  // of the first one; line 0 = none
  bool is_split = false;
  SplitKey split_by;
  Place split_by_place;  // line 0 = not given
};

struct RouteDraft {
  Route route;
  ActionDraft action;
  std::string strip_prefix;
  Place strip_place;
  Template rewrite;
  Place rewrite_place;
};

// The words of Priority.
inline constexpr std::array kPriorities{std::string_view("low"), std::string_view("normal"),
                                        std::string_view("high")};

[[nodiscard]] const Section& route_section();
[[nodiscard]] const Section& match_section();
[[nodiscard]] const Section& header_changes_section();
[[nodiscard]] const Section& redirect_section();
[[nodiscard]] const Section& respond_section();

// False, and reported, when the route already has an action.
[[nodiscard]] bool take_action(Reader& reader,
                               const Key& key,
                               const Node& value,
                               ActionDraft& action);
// The object is an ActionDraft.
void read_pool_use(Reader& reader, const Key& key, const Node& value, void* object);
void read_split(Reader& reader, const Key& key, const Node& value, void* object);
void read_split_by(Reader& reader, const Key& key, const Node& value, void* object);
void read_redirect(Reader& reader, const Key& key, const Node& value, void* object);
void read_respond(Reader& reader, const Key& key, const Node& value, void* object);
// The object is a HeaderChanges.
void read_request_headers(Reader& reader, const Key& key, const Node& value, void* object);
void read_response_headers(Reader& reader, const Key& key, const Node& value, void* object);

// `NAME: value` and `NAME: [values]`, checked.
void read_fields(Reader& reader, const Key& key, const Node& value, std::vector<HeaderField>& out);

// Text with names in braces, such as {path.rest}.
void read_template(Reader& reader, const Key& key, const Node& value, Template& out);

// Gives the route its action; pools become indexes into Draft::pool_uses.
[[nodiscard]] Route finish_route(Reader& reader, RouteDraft draft, Place place);

}  // namespace portunus::conf
