// Tells members who a client is by its certificate: X-Client-Cert-* and Client-Cert (RFC 9440). What
// clients send under these names has been removed from every request (http/identity_field.h). Pure; any
// thread.
#pragma once

#include "http/header_block.h"
#include "net/tls_session.h"

namespace portunus::proxy {

// For a connection that has been asked for a certificate. False when the block is full. The texts are
// those of the connection.
[[nodiscard]] bool add_client_fields(const net::TlsSession& tls, http::HeaderBlock& fields);

}  // namespace portunus::proxy
