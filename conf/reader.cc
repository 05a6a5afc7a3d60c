#include "conf/reader.h"

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <numeric>
#include <utility>

#include "conf/units.h"
#include "net/address.h"

namespace portunus::conf {
namespace {

constexpr std::size_t kKeysPerSectionMax = 64;
constexpr std::size_t kSecretBytesMax = 8U << 10U;

std::string in_short(std::string_view text) {
  constexpr std::size_t kShown = 80;
  return '`' + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "…`" : "`");
}

std::string_view kind_word(NodeKind kind) {
  switch (kind) {
    case NodeKind::null:
      return "nothing";
    case NodeKind::scalar:
      return "a single value";
    case NodeKind::sequence:
      return "a list";
    case NodeKind::mapping:
      return "a table of keys";
    case NodeKind::alias:
      return "an alias";
  }
  return {};
}

// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last;
  std::vector<std::size_t> last(b.size() + 1);
  std::iota(last.begin(), last.end(), 0U);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::vector<std::size_t> row(b.size() + 1, i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last = std::exchange(last, std::move(row));
  }
  return last.back();
}

}  // namespace

std::string format_limit(const Key& key, std::uint64_t value) {
  if (key.type == Type::duration) {
    return format_duration(Milliseconds(static_cast<std::int64_t>(value)));
  }
  return key.type == Type::size ? format_size(value) : std::to_string(value);
}

std::string_view find_nearest(std::string_view text,
                              const std::vector<std::string_view>& candidates) {
  constexpr std::size_t kTextMax = 64;
  if (text.size() > kTextMax) return {};
  const std::string wanted = lower_case(text);
  std::string_view nearest;
  std::size_t fewest = std::max<std::size_t>(1, text.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t longer = std::max(wanted.size(), candidate.size());
    if (longer > kTextMax || longer - std::min(wanted.size(), candidate.size()) >= fewest) continue;
    const std::size_t distance = edit_distance(wanted, lower_case(candidate));
    if (distance < fewest) {
      fewest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string list_words(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += in_short(words[i]);
  }
  return out;
}

void Reader::report_unknown(const Section& section, const Node& key) {
  const std::string message =
      "unknown key " + in_short(key.text) + " in " + std::string(section.title);
  if (std::ranges::find(section.later, key.text) != section.later.end()) {
    error(key.place, message, in_short(key.text) + " comes with a later version of Portunus");
    return;
  }
  std::vector<std::string_view> known;
  for (const Key& k : section.keys)
    known.push_back(k.name);
  const std::string_view nearest = find_nearest(key.text, known);
  error(key.place, message,
        nearest.empty() ? "known keys here: " + list_words(known)
                        : "did you mean " + in_short(nearest) + "?");
}

void Reader::read_section(const Section& section, const Node& node, void* object) {
  if (node.is_broken) return;
  if (node.kind != NodeKind::mapping && node.kind != NodeKind::null) {
    std::vector<std::string_view> known;
    for (const Key& k : section.keys)
      known.push_back(k.name);
    error(node.place,
          std::string(section.title) + " must be a table of keys, not " +
              std::string(kind_word(node.kind)),
          "known keys here: " + list_words(known));
    return;
  }
  std::bitset<kKeysPerSectionMax> seen;
  for (const Node* name = node.child; name != nullptr; name = name->next->next) {
    if (name->kind != NodeKind::scalar || name->is_broken) continue;  // reported with the tree
    const auto key = std::ranges::find(section.keys, name->text, &Key::name);
    if (key == section.keys.end()) {
      report_unknown(section, *name);
      continue;
    }
    const auto index = static_cast<std::size_t>(key - section.keys.begin());
    if (seen.test(index)) continue;  // a duplicate; reported with the tree
    seen.set(index);
    key->read(*this, *key, follow(*name->next), object);
  }
  for (std::size_t i = 0; i < section.keys.size(); ++i) {
    if (section.keys[i].is_required && !seen.test(i)) {
      error(node.place,
            std::string(section.title) + " needs the key " + in_short(section.keys[i].name));
    }
  }
}

std::optional<std::string_view> Reader::text(const Key& key, const Node& node) {
  if (node.is_broken) return std::nullopt;
  if (node.kind == NodeKind::scalar && (!node.text.empty() || key.type == Type::text)) {
    return node.text;
  }
  const bool is_empty = node.kind == NodeKind::null || node.kind == NodeKind::scalar;
  error(node.place, in_short(key.name) + (is_empty ? " has no value"
                                                   : " takes a single value, not " +
                                                         std::string(kind_word(node.kind))));
  return std::nullopt;
}

std::optional<std::string_view> Reader::secret(const Key& key, const Node& node) {
  constexpr std::string_view kPrefix = "file:";
  const auto written = text(key, node);
  if (!written || !written->starts_with(kPrefix) ||
      !written->substr(kPrefix.size()).starts_with('/'))
    return written;
  const std::string path(written->substr(kPrefix.size()));
  const auto refuse = [&](const std::string& why) {
    error(node.place, in_short(key.name) + ": " + path + ": " + why);
    return std::nullopt;
  };
  if (!draft_.may_read_files) return refuse("`file:` works in files only");
  auto known = draft_.secret_files.find(path);
  if (known == draft_.secret_files.end()) {
    const auto file = sources_.read(path);
    if (!file) return refuse(file.error());
    known = draft_.secret_files.emplace(path, *file).first;
  }
  std::string_view held = sources_.text(known->second);
  if (held.ends_with('\n')) held.remove_suffix(1);
  if (held.ends_with('\r')) held.remove_suffix(1);
  if (held.empty()) return refuse("the file is empty");
  if (held.size() > kSecretBytesMax) {
    return refuse("larger than " + std::to_string(kSecretBytesMax >> 10U) + "KiB");
  }
  return held;
}

std::optional<std::string_view> Reader::folder(const Key& key, const Node& node) {
  const auto path = text(key, node);
  if (path && !path->empty() && !path->starts_with('/')) {
    error(node.place, in_short(key.name) + ": " + in_short(*path) + " is not an absolute path",
          "it begins with `/`");
    return std::nullopt;
  }
  return path;
}

std::optional<std::string> Reader::file(const Key& key, const Node& node) {
  const auto path = text(key, node);
  if (!path) return std::nullopt;
  if (path->empty() || path->starts_with("file:")) {
    error(node.place, in_short(key.name) + " is the path of a file",
          "such as /etc/portunus/example.com.pem");
    return std::nullopt;
  }
  if (path->starts_with('/')) return std::string(*path);
  const std::string& including = sources_.name(node.place.file);
  const std::size_t slash = including.rfind('/');
  return slash == std::string::npos ? std::string(*path)
                                    : including.substr(0, slash + 1) + std::string(*path);
}

bool Reader::check_range(const Key& key, const Node& node, std::uint64_t value) {
  if (value >= key.min && value <= key.max) return true;
  const bool has_max = key.max != std::numeric_limits<std::uint64_t>::max();
  error(node.place, in_short(key.name) + ": " + in_short(node.text) + " is out of range",
        has_max ? "from " + format_limit(key, key.min) + " to " + format_limit(key, key.max)
                : "at least " + format_limit(key, key.min));
  return false;
}

std::optional<std::uint64_t> Reader::read_number(const Key& key, const Node& node) {
  const auto value = text(key, node);
  if (!value) return std::nullopt;
  const auto number = key.type == Type::size ? parse_size(*value) : parse_integer(*value);
  if (!number) {
    error(node.place, in_short(key.name) + ": " + number.error());
    return std::nullopt;
  }
  if (!check_range(key, node, *number)) return std::nullopt;
  return *number;
}

void Reader::read(const Key& key, const Node& node, bool& out) {
  const auto value = text(key, node);
  if (!value) return;
  if (*value == "true" || *value == "on" || *value == "yes") {
    out = true;
  } else if (*value == "false" || *value == "off" || *value == "no") {
    out = false;
  } else {
    error(node.place, in_short(key.name) + ": " + in_short(*value) + ": expected true or false");
  }
}

void Reader::read(const Key& key, const Node& node, double& out) {
  const auto value = text(key, node);
  if (!value) return;
  if (const auto ratio = parse_percent(*value)) {
    out = *ratio;
  } else {
    error(node.place, in_short(key.name) + ": " + ratio.error());
  }
}

void Reader::read(const Key& key, const Node& node, Milliseconds& out) {
  const auto value = text(key, node);
  if (!value) return;
  const auto duration = parse_duration(*value);
  if (!duration) {
    error(node.place, in_short(key.name) + ": " + duration.error());
  } else if (check_range(key, node, static_cast<std::uint64_t>(duration->count()))) {
    out = *duration;
  }
}

void Reader::read(const Key& key, const Node& node, std::string& out) {
  if (const auto value = text(key, node)) out = *value;
}

void Reader::read(const Key& key, const Node& node, Address& out) {
  const auto value = text(key, node);
  if (!value) return;
  if (auto address = parse_address(*value)) {
    out = *std::move(address);
  } else {
    error(node.place, in_short(key.name) + ": " + address.error());
  }
}

void Reader::read(const Key& key, const Node& node, std::vector<std::string>& out) {
  for (const Node* item : items(key, node)) {
    if (const auto value = text(key, *item)) out.emplace_back(*value);
  }
}

std::optional<std::size_t> Reader::read_choice(const Key& key, const Node& node) {
  const auto value = text(key, node);
  if (!value) return std::nullopt;
  const auto found = std::ranges::find(key.choices, *value);
  if (found != key.choices.end()) return static_cast<std::size_t>(found - key.choices.begin());
  const std::string_view nearest = find_nearest(*value, {key.choices.begin(), key.choices.end()});
  error(node.place,
        in_short(key.name) + ": " + in_short(*value) + ": expected " + list_words(key.choices),
        nearest.empty() ? "" : "did you mean " + in_short(nearest) + "?");
  return std::nullopt;
}

std::vector<const Node*> Reader::items(const Key& /*key*/, const Node& node) {
  std::vector<const Node*> out;
  if (node.kind == NodeKind::null) return out;
  if (node.kind != NodeKind::sequence) return {&node};
  for (const Node* item = node.child; item != nullptr; item = item->next) {
    out.push_back(&follow(*item));
  }
  return out;
}

void Reader::read_networks(const Key& key, const Node& node, std::vector<std::string>& out) {
  net::CidrSet checker;
  for (const Node* item : items(key, node)) {
    const auto network = text(key, *item);
    if (!network) continue;
    if (const auto added = checker.add(*network); !added) {
      error(item->place, in_short(key.name) + ": " + in_short(*network) + ": " + added.error(),
            "an address such as 10.0.0.1, or a network such as 10.0.0.0/8");
      continue;
    }
    out.emplace_back(*network);
  }
}

std::vector<Reader::Entry> Reader::entries(const Key& key, const Node& node) {
  std::vector<Entry> out;
  if (node.kind == NodeKind::null) return out;
  if (node.kind != NodeKind::mapping) {
    if (node.is_broken) return out;
    error(node.place, in_short(key.name) + " must be a table of names and their values, not " +
                          std::string(kind_word(node.kind)));
    return out;
  }
  for (const Node* name = node.child; name != nullptr; name = name->next->next) {
    if (name->kind == NodeKind::scalar && !name->is_broken)
      out.push_back({name, &follow(*name->next)});
  }
  return out;
}

void Reader::report_second(const Node& key, std::string_view what, Place first) {
  if (first.file == key.place.file) return;
  error(key.place, std::string(what) + ' ' + in_short(key.text) + " is defined a second time",
        "the first one is at " + describe(first));
}

bool Reader::check_name(const Node& key, std::string_view what, std::size_t bytes_max) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (!key.text.empty() && key.text.size() <= bytes_max &&
      std::ranges::all_of(key.text, is_allowed)) {
    return true;
  }
  error(key.place, in_short(key.text) + " cannot be the name of " + std::string(what),
        "letters, digits, `-`, `_` and `.`; at most " + std::to_string(bytes_max));
  return false;
}

}  // namespace portunus::conf
