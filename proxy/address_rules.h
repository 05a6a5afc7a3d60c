// Which addresses may ask, by the lists of a site and of a route. Made once per generation, read by all
// threads.
#pragma once

#include "conf/model_admission.h"
#include "net/address.h"

namespace portunus::proxy {

class AddressRules {
 public:
  // Every network is known to be accepted.
  void add(const conf::AddressLists& lists) {
    if (!lists.allowed.empty()) fill(allowed_.emplace_back(), lists.allowed);
    fill(denied_, lists.denied);
  }
  [[nodiscard]] bool empty() const { return allowed_.empty() && denied_.empty(); }
  // One that is not set is nobody's who may ask.
  [[nodiscard]] bool admits(const net::Address& client) const {
    if (!client.is_set() || denied_.contains(client)) return false;
    for (const net::CidrSet& set : allowed_) {
      if (!set.contains(client)) return false;
    }
    return true;
  }

 private:
  static void fill(net::CidrSet& set, const std::vector<std::string>& networks) {
    for (const std::string& network : networks) [[maybe_unused]]
      const auto added = set.add(network);
  }

  std::vector<net::CidrSet> allowed_;  // it has to be in each of them
  net::CidrSet denied_;
};

}  // namespace portunus::proxy
