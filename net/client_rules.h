// Which hosts of a listener ask their clients for a certificate, and how that comes into a handshake.
// What counts in the end is what a request's route asks for (proxy/route.h), compared with what the
// connection has been opened under: this here only asks. Built by the control thread, immutable
// afterwards, shared by all threads.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "net/client_authority.h"
#include "net/host_map.h"

struct ssl_st;

namespace portunus::net {

class ClientRules {
 public:
  // For all hosts of the listener; null: nothing is asked. Names are as in conf::Site::hosts; the first
  // one counts.
  void add(std::string_view host, const ClientRule* rule);
  // For whom this host is named in a handshake; null: nothing is asked.
  [[nodiscard]] const ClientRule* find(std::string_view host) const;

 private:
  static constexpr std::uint32_t kOpen = HostMap::kNone - 1;
  HostMap hosts_;
  std::vector<ClientRule> rules_;
  std::uint32_t any_ = HostMap::kNone;  // of `*`
};

// A client's first message has come: asks for a certificate if that is the rule for the host it names.
// Such connections neither take tickets nor give any, so that a certificate is looked at each time.
// False: the handshake is to fail. The rules outlive the connection.
[[nodiscard]] bool ask_client(ssl_st* connection, const ClientRules& rules);
// What ask_client() has found; null: nothing was asked.
[[nodiscard]] const ClientRule* client_rule_of(const ssl_st* connection);

}  // namespace portunus::net
