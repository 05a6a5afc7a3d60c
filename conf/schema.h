// The one table of keys: for each its name, type, unit, range, default and meaning, and the
// function that puts its value into the model. Loader, error messages, the reference and the JSON
// Schema are all made from it; no key is read anywhere else. Constant data.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace portunus::conf {

class Reader;
struct Key;
struct Node;

// section: a fixed set of keys. map: names chosen by the user, each with a section. pairs: names
// with one value each. list: also a single value without the brackets.
enum class Type : std::uint8_t {
  boolean,
  integer,
  duration,
  size,
  percent,
  text,
  choice,
  address,
  list,
  pairs,
  section,
  map
};

// Other shapes that a value may have besides its type's.
inline constexpr std::uint8_t kAlsoText = 1;
inline constexpr std::uint8_t kAlsoList = 2;

struct Section {
  std::string_view title;  // for messages: "a pool"
  std::span<const Key> keys;
  // Names that come with later versions: an error that says so.
  std::span<const std::string_view> later;
};

using ReadFunction = void (*)(Reader& reader, const Key& key, const Node& value, void* object);

struct Key {
  std::string_view name;
  Type type = Type::text;
  ReadFunction read = nullptr;
  std::string_view initial = {};  // the default as one would write it; empty = none
  std::string_view doc = {};      // one line; what the short forms mean, too
  std::uint64_t min = 0;          // of integers; of durations in milliseconds; of sizes in bytes
  std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  std::span<const std::string_view> choices = {};  // in the order of the enumerators
  const Section* section = nullptr;  // of a section, of a map's values, of a list's items
  std::uint8_t also = 0;
  bool is_required = false;
  bool may_repeat = false;  // at the root: several files may have it, and are merged
};

[[nodiscard]] const Section& root_section();

// Parts of the root, in files of their own.
[[nodiscard]] const Section& listener_section();
[[nodiscard]] const Section& pool_section();
[[nodiscard]] const Section& site_section();
[[nodiscard]] const Section& service_section();
[[nodiscard]] const Section& tls_section();
[[nodiscard]] const Section& site_tls_section();
[[nodiscard]] const Section& admin_section();
[[nodiscard]] const Section& log_section();
[[nodiscard]] const Section& access_log_section();
[[nodiscard]] const Section& shutdown_section();
[[nodiscard]] const Section& shedding_section();
void read_listeners(Reader& reader, const Key& key, const Node& value, void* object);
void read_pools(Reader& reader, const Key& key, const Node& value, void* object);
void read_sites(Reader& reader, const Key& key, const Node& value, void* object);
void read_services(Reader& reader, const Key& key, const Node& value, void* object);
// A site's own; the object is a TlsDraft (tls_reader.h).
void read_site_tls(Reader& reader, const Key& key, const Node& value, void* object);
void read_admin(Reader& reader, const Key& key, const Node& value, void* object);
void read_access_log(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
