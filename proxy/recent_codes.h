// Codes of what has been looked at, for as long as nothing newer takes their place. One thread, or under
// the owner's lock.
#pragma once

#include <cstddef>
#include <unordered_set>
#include <vector>

#include "net/hmac.h"

namespace portunus::proxy {

// The last so many codes.
class RecentCodes {
 public:
  static constexpr std::size_t kCodesMax = 1024;

  [[nodiscard]] bool has(const net::Hmac::Code& code) const { return known_.contains(code); }
  void add(const net::Hmac::Code& code);

 private:
  struct Hash {
    // Any part of a code is as good as a hash of it.
    std::size_t operator()(const net::Hmac::Code& code) const;
  };

  std::unordered_set<net::Hmac::Code, Hash> known_;
  std::vector<net::Hmac::Code> order_;  // a ring, once it is full
  std::size_t oldest_ = 0;
};

}  // namespace portunus::proxy
