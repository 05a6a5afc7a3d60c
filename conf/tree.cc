#include "conf/tree.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <unordered_map>

#include <yaml.h>

#include "base/check.h"
#include "conf/environment.h"

namespace portunus::conf {
namespace {

constexpr std::size_t kNodesPerBlock = 1024;
constexpr std::size_t kTextBlockBytes = 64U << 10U;
constexpr std::size_t kFewKeys = 16;  // up to here comparing all pairs is quicker than a table
constexpr std::size_t kDepthMax = 64;

// Where a byte stands. Columns count characters, as libyaml's do.
Place place_of_offset(std::string_view text, std::size_t offset, std::uint32_t file) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto is_first_byte = [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  };
  const auto column = std::ranges::count_if(before.substr(line_start), is_first_byte) + 1;
  return {file, static_cast<std::uint32_t>(std::ranges::count(before, '\n') + 1),
          static_cast<std::uint32_t>(column)};
}

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

std::string_view text_of(const char* text) {
  return text == nullptr ? std::string_view() : text;
}

// What a plain value without text means (YAML 1.2.2, section 10.2.1.1).
bool is_null(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

// libyaml's parser over one text.
class Events {
 public:
  explicit Events(std::string_view text) {
    CHECK(yaml_parser_initialize(&parser_) == 1);
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  ~Events() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  // The next event, which lives until the next call; null at an error.
  const yaml_event_t* next() {
    yaml_event_delete(&event_);
    return yaml_parser_parse(&parser_, &event_) == 1 ? &event_ : nullptr;
  }
  [[nodiscard]] const yaml_parser_t& parser() const { return parser_; }

 private:
  yaml_parser_t parser_;
  yaml_event_t event_{};
};

// Turns events into nodes.
class Builder final {
 public:
  Builder(Tree& tree, const Sources& sources, std::uint32_t file, Report& report)
      : tree_(tree), sources_(sources), file_(file), report_(report) {}

  [[nodiscard]] const Node* root() const { return root_; }

  // False when nothing good can follow; the reason is reported.
  bool take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        return begin_document(event);
      case YAML_ALIAS_EVENT:
        return add_alias(event);
      case YAML_SCALAR_EVENT:
        return add_scalar(event);
      case YAML_SEQUENCE_START_EVENT: {
        const auto& start = event.data.sequence_start;
        return begin(NodeKind::sequence, event, start.tag, start.anchor);
      }
      case YAML_MAPPING_START_EVENT: {
        const auto& start = event.data.mapping_start;
        return begin(NodeKind::mapping, event, start.tag, start.anchor);
      }
      case YAML_MAPPING_END_EVENT:
        check_keys(*open_.back().node);
        end();
        return true;
      case YAML_SEQUENCE_END_EVENT:
        end();
        return true;
      default:
        return true;
    }
  }

 private:
  struct Open {
    Node* node;
    Node* last_child = nullptr;
    bool is_value_next = false;  // in a mapping, after a key
  };

  [[nodiscard]] Place place(const yaml_mark_t& mark) const {
    return {file_, static_cast<std::uint32_t>(mark.line) + 1,
            static_cast<std::uint32_t>(mark.column) + 1};
  }

  bool begin_document(const yaml_event_t& event) {
    if (++document_count_ == 1) return true;
    report_.error(place(event.start_mark), "a second YAML document: one file holds one document");
    return false;
  }

  bool add_alias(const yaml_event_t& event) {
    const std::string name(text_of(event.data.alias.anchor));
    const auto known = anchors_.find(name);
    if (known == anchors_.end()) {
      report_.error(place(event.start_mark), "the alias `*" + name + "` names nothing",
                    "an alias needs its `&name` before it");
      return false;
    }
    Node* target = known->second;
    if (std::ranges::find(open_, target, &Open::node) != open_.end()) {
      report_.error(place(event.start_mark), "this alias stands inside what it names");
      return false;
    }
    Node& node = add(NodeKind::alias, event, nullptr);
    node.child = target;
    node.unfolded_count = target->unfolded_count;
    unfolded_total_ += target->unfolded_count;
    return refuse_when_full(event);
  }

  bool add_scalar(const yaml_event_t& event) {
    const auto& scalar = event.data.scalar;
    check_tag(event, scalar.tag);
    const std::string_view value(reinterpret_cast<const char*>(scalar.value), scalar.length);
    const bool is_quoted = scalar.style != YAML_PLAIN_SCALAR_STYLE;
    const bool has_no_value = !is_quoted && is_null(value);
    Node& node = add(has_no_value ? NodeKind::null : NodeKind::scalar, event, scalar.anchor);
    node.is_quoted = is_quoted;
    if (!has_no_value) set_text(node, value);
    return refuse_when_full(event);
  }

  void set_text(Node& node, std::string_view value) {
    if (value.find('\0') != std::string_view::npos) {
      report_.error(node.place, "a NUL byte in a value");
      node.is_broken = true;
      return;
    }
    if (value.find('$') == std::string_view::npos) {
      node.text = tree_.keep(value);
      return;
    }
    const auto replaced = replace_environment(value);
    if (replaced) {
      node.text = tree_.keep(*replaced);
      return;
    }
    node.is_broken = true;
    report_.error(node.place, replaced.error(),
                  "${NAME} takes an environment variable, ${NAME:-default} has a default, "
                  "$${ is a plain ${");
  }

  void check_tag(const yaml_event_t& event, const yaml_char_t* tag) {
    if (tag == nullptr) return;
    report_.error(place(event.start_mark), "YAML tags are not supported",
                  "write the value without `!…`");
  }

  bool refuse_when_full(const yaml_event_t& event) {
    if (!tree_.is_full() && unfolded_total_ <= kNodesMax) return true;
    report_.error(place(event.start_mark), "the configuration is too large here: more than " +
                                               std::to_string(kNodesMax) + " values or " +
                                               std::to_string(kTreeTextBytesMax >> 20U) +
                                               "MiB of text, with aliases unfolded");
    return false;
  }

  Node& add(NodeKind kind, const yaml_event_t& event, const yaml_char_t* anchor) {
    Node& node = tree_.make_node();
    node.kind = kind;
    node.place = place(event.start_mark);
    if (open_.empty()) {
      root_ = &node;
    } else {
      Open& parent = open_.back();
      // An empty value stands nowhere; its key's place is the better one.
      if (kind == NodeKind::null && parent.is_value_next) node.place = parent.last_child->place;
      (parent.last_child == nullptr ? parent.node->child : parent.last_child->next) = &node;
      parent.last_child = &node;
      parent.is_value_next = parent.node->kind == NodeKind::mapping && !parent.is_value_next;
    }
    if (anchor != nullptr) anchors_[std::string(text_of(anchor))] = &node;
    ++unfolded_total_;
    return node;
  }

  bool begin(NodeKind kind,
             const yaml_event_t& event,
             const yaml_char_t* tag,
             const yaml_char_t* anchor) {
    check_tag(event, tag);
    Node& node = add(kind, event, anchor);
    if (open_.size() >= kDepthMax) {
      report_.error(node.place, "nested deeper than " + std::to_string(kDepthMax) + " levels");
      return false;
    }
    open_.push_back({&node});
    return refuse_when_full(event);
  }

  void end() {
    Node& node = *open_.back().node;
    std::uint64_t count = 1;
    for (const Node* child = node.child; child != nullptr; child = child->next) {
      count += child->unfolded_count;
    }
    node.unfolded_count = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(count, std::numeric_limits<std::uint32_t>::max()));
    open_.pop_back();
  }

  void report_duplicate(const Node& first, const Node& second) {
    report_.error(second.place,
                  "the key `" + std::string(second.text) + "` stands here a second time",
                  "the first one is at " + sources_.describe(first.place));
  }

  // Keys are plain text, each once.
  void check_keys(const Node& mapping) {
    std::vector<const Node*> keys;
    for (Node* key = mapping.child; key != nullptr; key = key->next->next) {
      if (key->kind != NodeKind::scalar) {
        report_.error(key->place, "a key must be plain text",
                      key->kind == NodeKind::alias ? "an alias may stand for a value only" : "");
      } else if (key->text == "<<" && !key->is_quoted) {
        report_.error(key->place, "merge keys (`<<`) are not supported",
                      "write the keys out, or use an alias for the whole value");
        key->is_broken = true;
      } else if (!key->is_broken) {
        keys.push_back(key);
      }
      if (key->next == nullptr) break;
    }
    if (keys.size() <= kFewKeys) {
      for (std::size_t i = 1; i < keys.size(); ++i) {
        const auto same = std::find_if(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(i),
                                       [&](const Node* k) { return k->text == keys[i]->text; });
        if (*same != keys[i]) report_duplicate(**same, *keys[i]);
      }
      return;
    }
    std::unordered_map<std::string_view, const Node*> seen;
    seen.reserve(keys.size());
    for (const Node* key : keys) {
      const auto [known, is_new] = seen.emplace(key->text, key);
      if (!is_new) report_duplicate(*known->second, *key);
    }
  }

  Tree& tree_;
  const Sources& sources_;
  std::uint32_t file_;
  Report& report_;
  const Node* root_ = nullptr;
  std::vector<Open> open_;
  std::unordered_map<std::string, Node*> anchors_;
  std::uint64_t unfolded_total_ = 0;
  int document_count_ = 0;
};

// libyaml's own words are terse; the frequent ones get a hint.
std::string hint_for(const yaml_parser_t& parser) {
  const std::string_view problem = text_of(parser.problem);
  const std::string_view context = text_of(parser.context);
  const std::string begins = " (line " + std::to_string(parser.context_mark.line + 1) + ')';
  if (problem.find("mapping values") != std::string_view::npos) {
    return "a value that holds `: ` needs quotes; the keys of one table start in the same column";
  }
  if (context.find("flow") != std::string_view::npos) {
    return "a `[` or `{` is not closed, or a comma is missing" + begins;
  }
  if (context.find("quoted scalar") != std::string_view::npos) {
    return "a quote is not closed, or `\\` stands inside \"\"; '' takes text as it is" + begins;
  }
  if (context.find("block") != std::string_view::npos) {
    return "the keys of one table start in the same column; the error may be a line above";
  }
  if (context.find("simple key") != std::string_view::npos) {
    return "a key needs `: ` behind it" + begins;
  }
  if (problem.find("cannot start any token") != std::string_view::npos) {
    return "tabs cannot indent, and a value that begins with @, ` or % needs quotes";
  }
  return {};
}

void report_failure(const yaml_parser_t& parser,
                    std::string_view text,
                    std::uint32_t file,
                    Report& report) {
  if (parser.error == YAML_READER_ERROR) {
    report.error(place_of_offset(text, std::min(parser.problem_offset, text.size()), file),
                 "a byte that is not UTF-8 text");
    return;
  }
  const Place place{file, static_cast<std::uint32_t>(parser.problem_mark.line) + 1,
                    static_cast<std::uint32_t>(parser.problem_mark.column) + 1};
  report.error(place, "not valid YAML: " + std::string(text_of(parser.problem)), hint_for(parser));
}

}  // namespace

const Node* find_key(const Node& mapping, std::string_view name) {
  const Node& node = follow(mapping);
  if (node.kind != NodeKind::mapping) return nullptr;
  for (const Node* key = node.child; key != nullptr; key = key->next->next) {
    if (key->text == name) return key;
  }
  return nullptr;
}

Node& Tree::make_node() {
  if (node_count_ % kNodesPerBlock == 0) {
    node_blocks_.push_back(std::make_unique<Node[]>(kNodesPerBlock));
  }
  return node_blocks_.back()[node_count_++ % kNodesPerBlock];
}

std::string_view Tree::keep(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() > text_free_bytes_) {
    const std::size_t size = std::max(kTextBlockBytes, text.size());
    text_blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    text_free_ = text_blocks_.back().get();
    text_free_bytes_ = size;
  }
  std::memcpy(text_free_, text.data(), text.size());
  const std::string_view kept(text_free_, text.size());
  text_free_ += text.size();
  text_free_bytes_ -= text.size();
  text_bytes_ += text.size();
  return kept;
}

const Node* Tree::parse(const Sources& sources, std::uint32_t file, Report& report) {
  Events events(sources.text(file));
  Builder builder(*this, sources, file, report);
  bool is_done = false;
  while (!is_done) {
    const yaml_event_t* event = events.next();
    if (event == nullptr) {
      report_failure(events.parser(), sources.text(file), file, report);
      return nullptr;
    }
    if (!builder.take(*event)) return nullptr;
    is_done = event->type == YAML_STREAM_END_EVENT;
  }
  if (builder.root() != nullptr) return builder.root();
  Node& empty = make_node();
  empty.place = {file, 0, 0};
  return &empty;
}

}  // namespace portunus::conf
