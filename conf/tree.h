// One YAML file as a tree of our own: plain nodes with places, aliases resolved, environment
// references replaced, duplicate keys and tags refused. Only tree.cc knows libyaml, which gives
// events (docs/decisions/0002). Owned by one load; nodes live as long as their Tree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "conf/source.h"

namespace portunus::conf {

// After aliases are followed; a file whose aliases unfold to more is refused.
inline constexpr std::size_t kNodesMax = 4'000'000;
inline constexpr std::size_t kTreeTextBytesMax = 64U << 20U;

enum class NodeKind : std::uint8_t { null, scalar, sequence, mapping, alias };

struct Node {
  NodeKind kind = NodeKind::null;
  bool is_quoted = false;
  bool is_broken = false;  // a scalar whose text could not be made; reported, and to be passed over
  Place place;
  std::uint32_t unfolded_count = 1;  // this node and all below it, aliases followed
  std::string_view text;             // of a scalar; NUL-free
  Node* child =
      nullptr;  // first child (a mapping: key, value, key, value…); of an alias: its target
  Node* next = nullptr;
};

// The node that an alias stands for, or the node itself.
[[nodiscard]] inline const Node& follow(const Node& node) {
  return node.kind == NodeKind::alias ? *node.child : node;
}

// The key node of a mapping, or null.
[[nodiscard]] const Node* find_key(const Node& mapping, std::string_view name);

class Tree {
 public:
  // Reads one file of `sources`. Null, with the errors in `report`, when it is not one YAML
  // document in UTF-8; errors inside a readable document are reported and the root is given all the
  // same. An empty file has a null root.
  const Node* parse(const Sources& sources, std::uint32_t file, Report& report);

  Node& make_node();
  // A copy that lives as long as the tree.
  std::string_view keep(std::string_view text);
  [[nodiscard]] bool is_full() const {
    return node_count_ > kNodesMax || text_bytes_ > kTreeTextBytesMax;
  }

 private:
  std::vector<std::unique_ptr<Node[]>> node_blocks_;
  std::vector<std::unique_ptr<char[]>> text_blocks_;
  std::size_t node_count_ = 0;
  std::size_t text_bytes_ = 0;
  char* text_free_ = nullptr;
  std::size_t text_free_bytes_ = 0;
};

}  // namespace portunus::conf
