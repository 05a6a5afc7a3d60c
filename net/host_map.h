// A number for each host: the exact name first, then the wildcard of one label. Built once, immutable
// afterwards, any thread; a look-up takes the same time with one name and with a hundred thousand, and
// neither lock nor memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.h"

namespace portunus::net {

class HostMap {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  // `name` in lower case: exact, or `*.name`. The first one counts: false when there is one already.
  bool add(std::string_view name, std::uint32_t value);
  // Of a host as a client writes it, in any case, with or without the dot at its end.
  [[nodiscard]] std::uint32_t find(std::string_view host) const;
  void reserve(std::size_t count) { exact_.reserve(count); }
  [[nodiscard]] std::size_t size() const { return exact_.size() + wildcards_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return keyed(text); }
    base::KeyedHash keyed;
  };
  struct Same {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };
  using Names = std::unordered_map<std::string, std::uint32_t, Hash, Same>;

  Names exact_;
  Names wildcards_;  // by what stands after `*`: ".example.com"
};

}  // namespace portunus::net
