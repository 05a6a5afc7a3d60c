// Reads values of the tree into the model as the schema says, and reports everything that does not
// fit. One per load; its overloads of read() are what schema entries are made of. Not for rules
// between keys: those are in validate.h.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/schema.h"
#include "conf/source.h"
#include "conf/tree.h"

namespace portunus::conf {

class Reader {
 public:
  struct Entry {
    const Node* key;
    const Node* value;  // aliases followed
  };

  Reader(Sources& sources, Report& report, Draft& draft)
      : sources_(sources), report_(report), draft_(draft) {}

  // All known keys of a mapping, in the file's order. Unknown and missing keys are reported. A null
  // value is an empty mapping.
  void read_section(const Section& section, const Node& node, void* object);

  void read(const Key& key, const Node& node, bool& out);
  void read(const Key& key, const Node& node, std::uint16_t& out) { read_unsigned(key, node, out); }
  void read(const Key& key, const Node& node, std::uint32_t& out) { read_unsigned(key, node, out); }
  void read(const Key& key, const Node& node, std::uint64_t& out) { read_unsigned(key, node, out); }
  void read(const Key& key, const Node& node, double& out);  // percent
  void read(const Key& key, const Node& node, Milliseconds& out);
  void read(const Key& key, const Node& node, std::string& out);
  void read(const Key& key, const Node& node, Address& out);
  void read(const Key& key, const Node& node, std::vector<std::string>& out);

  template <typename T>
  void read(const Key& key, const Node& node, std::optional<T>& out) {
    read(key, node, out.emplace());
  }
  template <typename T>
    requires std::is_enum_v<T>
  void read(const Key& key, const Node& node, T& out) {
    if (const auto index = read_choice(key, node)) out = static_cast<T>(*index);
  }
  template <typename T>
    requires std::is_class_v<T>
  void read(const Key& key, const Node& node, T& out) {
    read_section(*key.section, node, &out);
  }

  // The text of a scalar that is not empty; none, with an error, for anything else.
  std::optional<std::string_view> text(const Key& key, const Node& node);
  // The same for what may be a secret: `file:/path` stands for what that file holds, without the end
  // of its last line. The file counts as one of the configuration: a change of it is a reload.
  std::optional<std::string_view> secret(const Key& key, const Node& node);
  // The path of a folder, from the root of the file system; empty = not given.
  std::optional<std::string_view> folder(const Key& key, const Node& node);
  // The path of a file; a relative one starts at the folder of the file that names it.
  std::optional<std::string> file(const Key& key, const Node& node);
  // Addresses and networks, each of which net::CidrSet::add accepts.
  void read_networks(const Key& key, const Node& node, std::vector<std::string>& out);
  // One of key.choices.
  std::optional<std::size_t> read_choice(const Key& key, const Node& node);
  // The items of a sequence, or the one value that stands in its place; aliases followed.
  std::vector<const Node*> items(const Key& key, const Node& node);
  // The entries of a mapping; an error for anything else. Keys that are no text are left out.
  std::vector<Entry> entries(const Key& key, const Node& node);
  // A name for a map's entry: letters, digits, `-`, `_`, `.`.
  bool check_name(const Node& key, std::string_view what, std::size_t bytes_max = 100);

  // A name of the user's that stands in two files; within one file the tree has reported it.
  void report_second(const Node& key, std::string_view what, Place first);

  // No message shows that line: a secret may stand in it.
  void hide_line(Place place) { report_.hide_line(place); }

  void error(Place place, std::string message, std::string hint = {}) {
    report_.error(place, std::move(message), std::move(hint));
  }
  void warning(Place place, std::string message, std::string hint = {}) {
    report_.warning(place, std::move(message), std::move(hint));
  }
  [[nodiscard]] std::string describe(Place place) const { return sources_.describe(place); }
  [[nodiscard]] Draft& draft() { return draft_; }

 private:
  std::optional<std::uint64_t> read_number(const Key& key, const Node& node);
  template <std::unsigned_integral T>
  void read_unsigned(const Key& key, const Node& node, T& out) {
    // The schema's range fits the type; the tests read every limit.
    if (const auto value = read_number(key, node)) out = static_cast<T>(*value);
  }
  bool check_range(const Key& key, const Node& node, std::uint64_t value);
  void report_unknown(const Section& section, const Node& key);

  Sources& sources_;
  Report& report_;
  Draft& draft_;
};

template <typename T>
struct MemberOf;
template <typename Class, typename T>
struct MemberOf<T Class::*> {
  using Owner = Class;
};

// The ReadFunction of a plain member. Object is given where the member belongs to a base of what is
// being read.
template <auto kMember, typename Object = typename MemberOf<decltype(kMember)>::Owner>
void field(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<Object*>(object)->*kMember);
}

// The ReadFunction of a member that has a function of its own.
template <ReadFunction kRead, auto kMember>
void member(Reader& reader, const Key& key, const Node& value, void* object) {
  using Owner = typename MemberOf<decltype(kMember)>::Owner;
  kRead(reader, key, value, &(static_cast<Owner*>(object)->*kMember));
}

// Of a route. A default name is its path; a longer one gives way to the route's position.
inline constexpr std::size_t kRouteNameMax = 200;
// A hint looks at every name; a thousand errors need no thousand hints.
inline constexpr int kHintsMax = 50;

// A `min` or `max` of the key, as the user writes it.
[[nodiscard]] std::string format_limit(const Key& key, std::uint64_t value);

// The candidate with the fewest typing errors, if it is near enough to be meant; else empty.
[[nodiscard]] std::string_view find_nearest(std::string_view text,
                                            const std::vector<std::string_view>& candidates);

// "`a`, `b` or `c`"
[[nodiscard]] std::string list_words(std::span<const std::string_view> words);

}  // namespace portunus::conf
