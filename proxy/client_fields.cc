#include "proxy/client_fields.h"

#include "net/client_identity.h"

namespace portunus::proxy {

bool add_client_fields(const net::TlsSession& tls, http::HeaderBlock& fields) {
  const net::ClientIdentity* const client = tls.client_identity();
  if (client == nullptr) return fields.add("x-client-cert-verify", "none");
  const auto add = [&fields](std::string_view name, std::string_view value) {
    return value.empty() || fields.add(name, value);
  };
  return add("x-client-cert-verify", "ok") && add("x-client-cert-subject", client->subject) &&
         add("x-client-cert-san", client->names) &&
         add("x-client-cert-fingerprint", client->fingerprint) &&
         add("client-cert", client->certificate);
}

}  // namespace portunus::proxy
