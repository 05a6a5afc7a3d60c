#include "conf/tree.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <istream>
#include <limits>
#include <streambuf>
#include <string>
#include <unordered_map>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "conf/environment.h"

namespace portunus::conf {
namespace {

constexpr std::size_t kNodesPerBlock = 1024;
constexpr std::size_t kTextBlockBytes = 64U << 10U;
constexpr std::size_t kFewKeys = 16;  // up to here comparing all pairs is quicker than a table
constexpr std::size_t kDepthMax = 64;

// Ends a parse from inside an event; thrown and caught in this file only.
class Refused : public std::exception {};

// Lets yaml-cpp read a text in place.
class TextBuffer final : public std::streambuf {
 public:
  explicit TextBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // the get area is never written to
    setg(begin, begin, begin + text.size());
  }
};

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

// Bytes of the character that `text` begins with; 0 when it is no UTF-8 or no text (RFC 3629,
// section 4).
std::size_t character_length(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte < 0x80) {
    const bool is_control =
        byte == 0x7f || (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r');
    return is_control ? 0 : 1;
  }
  const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
  if (byte < 0xc2 || byte > 0xf4 || length > text.size()) return 0;
  if (!std::ranges::all_of(text.substr(1, length - 1), is_continuation)) return 0;
  const auto second = static_cast<unsigned char>(text[1]);
  const bool is_bad = (byte == 0xe0 && second < 0xa0) || (byte == 0xed && second > 0x9f) ||
                      (byte == 0xf0 && second < 0x90) || (byte == 0xf4 && second > 0x8f);
  return is_bad ? 0 : length;
}

// What yaml-cpp would take for UTF-16 or mend silently is refused before it. Gives the offset of
// the first bad byte.
std::size_t find_bad_byte(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t length = character_length(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

Place place_of_offset(std::string_view text, std::size_t offset, std::uint32_t file) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {file, static_cast<std::uint32_t>(std::ranges::count(before, '\n') + 1),
          static_cast<std::uint32_t>(offset - line_start + 1)};
}

// Turns events into nodes.
class Builder final : public YAML::EventHandler {
 public:
  Builder(Tree& tree, const Sources& sources, std::uint32_t file, Report& report)
      : tree_(tree), sources_(sources), file_(file), report_(report) {}

  [[nodiscard]] const Node* root() const { return root_; }
  [[nodiscard]] Place place(const YAML::Mark& mark) const {
    if (mark.is_null()) return {file_, 0, 0};
    return {file_, static_cast<std::uint32_t>(mark.line) + 1,
            static_cast<std::uint32_t>(mark.column) + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++document_count_ > 1) {
      report_.error(place(mark), "a second YAML document: one file holds one document");
      throw Refused();
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(NodeKind::null, mark, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node* target = anchor < anchors_.size() ? anchors_[anchor] : nullptr;
    const bool is_open = std::ranges::find(open_, target, &Open::node) != open_.end();
    if (target == nullptr || is_open) {
      report_.error(place(mark), "this alias stands inside what it names");
      throw Refused();
    }
    Node& node = add(NodeKind::alias, mark, 0);
    node.child = target;
    node.unfolded_count = target->unfolded_count;
    unfolded_total_ += target->unfolded_count;
    refuse_when_full(mark);
  }

  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    Node& node = add(NodeKind::scalar, mark, anchor);
    node.is_quoted = tag == "!";
    if (value.find('\0') != std::string::npos) {
      report_.error(node.place, "a NUL byte in a value");
      node.is_broken = true;
      return;
    }
    if (value.find('$') == std::string::npos) {
      node.text = tree_.keep(value);
      return;
    }
    const auto replaced = replace_environment(value);
    if (replaced) {
      node.text = tree_.keep(*replaced);
    } else {
      node.is_broken = true;
      report_.error(node.place, replaced.error(),
                    "${NAME} takes an environment variable, ${NAME:-default} has a default, "
                    "$${ is a plain ${");
    }
    refuse_when_full(mark);
  }

  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    begin(NodeKind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { end(); }

  void OnMapStart(const YAML::Mark& mark,
                  const std::string& tag,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    begin(NodeKind::mapping, mark, tag, anchor);
  }
  void OnMapEnd() override {
    check_keys(*open_.back().node);
    end();
  }

 private:
  struct Open {
    Node* node;
    Node* last_child = nullptr;
    bool is_value_next = false;  // in a mapping, after a key
  };

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag == "?" || tag == "!" || tag.empty()) return;
    report_.error(place(mark), "YAML tags are not supported", "write the value without `!…`");
  }

  void refuse_when_full(const YAML::Mark& mark) {
    if (!tree_.is_full() && unfolded_total_ <= kNodesMax) return;
    report_.error(place(mark), "the configuration is too large here: more than " +
                                   std::to_string(kNodesMax) + " values or " +
                                   std::to_string(kTreeTextBytesMax >> 20U) +
                                   "MiB of text, with aliases unfolded");
    throw Refused();
  }

  Node& add(NodeKind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    Node& node = tree_.make_node();
    node.kind = kind;
    node.place = place(mark);
    // yaml-cpp gives an empty value the place of what follows it; its key's place is the better
    // one.
    if (kind == NodeKind::null && !open_.empty() && open_.back().is_value_next) {
      node.place = open_.back().last_child->place;
    }
    if (open_.empty()) {
      root_ = &node;
    } else {
      Open& parent = open_.back();
      (parent.last_child == nullptr ? parent.node->child : parent.last_child->next) = &node;
      parent.last_child = &node;
      parent.is_value_next = parent.node->kind == NodeKind::mapping && !parent.is_value_next;
    }
    if (anchor > 0) {
      if (anchors_.size() <= anchor) anchors_.resize(anchor + 1, nullptr);
      anchors_[anchor] = &node;
    }
    ++unfolded_total_;
    refuse_when_full(mark);
    return node;
  }

  void begin(NodeKind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(mark, tag);
    Node& node = add(kind, mark, anchor);
    if (open_.size() >= kDepthMax) {
      report_.error(place(mark), "nested deeper than " + std::to_string(kDepthMax) + " levels");
      throw Refused();
    }
    open_.push_back({&node});
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
  std::vector<Node*> anchors_;
  std::uint64_t unfolded_total_ = 0;
  int document_count_ = 0;
};

// yaml-cpp's own words are terse; the frequent ones get a hint.
std::string hint_for(std::string_view message) {
  if (message.find("illegal map value") != std::string_view::npos) {
    return "a value that holds `: ` needs quotes; the keys of one table start in the same column";
  }
  if (message.find("end of map") != std::string_view::npos) {
    return "the keys of one table start in the same column; the error may be a line above";
  }
  if (message.find("flow") != std::string_view::npos) {
    return "a `[` or `{` is not closed, or a comma is missing";
  }
  if (message.find("anchor") != std::string_view::npos)
    return "an alias needs its `&name` before it";
  return {};
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
  std::string_view text = sources.text(file);
  const Place whole_file{file, 0, 0};
  if (const std::size_t bad = find_bad_byte(text); bad != std::string_view::npos) {
    report.error(place_of_offset(text, bad, file), "a byte that is not UTF-8 text");
    return nullptr;
  }
  Builder builder(*this, sources, file, report);
  try {
    TextBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused&) {
    return nullptr;
  } catch (const YAML::Exception& e) {
    report.error(builder.place(e.mark), "not valid YAML: " + e.msg, hint_for(e.msg));
    return nullptr;
  } catch (const std::exception& e) {
    report.error(whole_file, std::string("cannot be parsed: ") + e.what());
    return nullptr;
  }
  if (builder.root() != nullptr) return builder.root();
  Node& empty = make_node();
  empty.place = whole_file;
  return &empty;
}

}  // namespace portunus::conf
