#include "net/client_rules.h"

#include <algorithm>

#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

// Certificates between the client's own and the authority's.
constexpr int kDepthMax = 4;
constexpr long kChainBytesMax = 32L * 1024;
// Never that of other connections: their sessions have shown no certificate.
constexpr std::string_view kSessionsWithRules = "portunus-clients";

int rule_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// Of the extension as it came (RFC 6066 section 3): it has not been read yet. Whatever is wrong with it
// is found later.
std::string_view named_host(SSL* connection) {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_server_name, &data, &size) != 1) return {};
  constexpr std::size_t kHead = 5;  // length of the list, kind and length of its only entry
  if (size < kHead || data[2] != TLSEXT_NAMETYPE_host_name) return {};
  const std::size_t name = static_cast<std::size_t>(data[3]) << 8U | data[4];
  if (name > size - kHead) return {};
  return {reinterpret_cast<const char*>(data) + kHead, name};
}

}  // namespace

void ClientRules::add(std::string_view host, const ClientRule* rule) {
  std::uint32_t value = kOpen;
  if (rule != nullptr) {
    const auto known = std::ranges::find(rules_, *rule);
    value = static_cast<std::uint32_t>(known - rules_.begin());
    if (known == rules_.end()) rules_.push_back(*rule);
  }
  if (host != "*") {
    static_cast<void>(hosts_.add(host, value));
  } else if (any_ == HostMap::kNone) {
    any_ = value;
  }
}

const ClientRule* ClientRules::find(std::string_view host) const {
  std::uint32_t value = hosts_.find(host);
  if (value == HostMap::kNone) value = any_;
  return value < rules_.size() ? &rules_[value] : nullptr;
}

// A handshake may have two first messages (RFC 8446 section 4.1.4), and the second one counts.
bool ask_client(ssl_st* connection, const ClientRules& rules) {
  const ClientRule* const rule = rules.find(named_host(connection));
  // OpenSSL keeps what is not const, and gives it back as it is.
  if (SSL_set_ex_data(connection, rule_index(), const_cast<ClientRule*>(rule)) != 1) return false;
  if (rule == nullptr) {
    SSL_set_verify(connection, SSL_VERIFY_NONE, nullptr);
    return true;
  }
  if (rule->authority == nullptr) return false;
  SSL_set_verify(connection,
                 SSL_VERIFY_PEER | (rule->is_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                 nullptr);
  SSL_set_verify_depth(connection, kDepthMax);
  SSL_ctrl(connection, SSL_CTRL_SET_MAX_CERT_LIST, kChainBytesMax, nullptr);
  SSL_set_options(connection, SSL_OP_NO_TICKET);
  STACK_OF(X509_NAME)* const names = SSL_dup_CA_list(rule->authority->names());
  if (names != nullptr) SSL_set0_CA_list(connection, names);
  return names != nullptr && SSL_set_num_tickets(connection, 0) == 1 &&
         SSL_ctrl(connection, SSL_CTRL_SET_VERIFY_CERT_STORE, 1, rule->authority->store()) == 1 &&
         SSL_set_session_id_context(
             connection, reinterpret_cast<const unsigned char*>(kSessionsWithRules.data()),
             static_cast<unsigned>(kSessionsWithRules.size())) == 1;
}

const ClientRule* client_rule_of(const ssl_st* connection) {
  return static_cast<const ClientRule*>(SSL_get_ex_data(connection, rule_index()));
}

}  // namespace portunus::net
