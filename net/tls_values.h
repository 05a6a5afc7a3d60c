// What every TLS context of ours has, of a server as of a client: versions, ciphers and groups as
// Mozilla's "intermediate", no renegotiation, no compression, no early data, buffers let go of while
// idle. For sources only: it names OpenSSL's types. Control thread.
#pragma once

#include "net/openssl_ptr.h"
#include "net/tls_context.h"

namespace portunus::net {

// OpenSSL's: RSA of 2048 bits, no SHA-1.
inline constexpr int kSecurityLevel = 2;

inline constexpr std::string_view kAlpnH1 = "http/1.1";
inline constexpr std::string_view kAlpnH2 = "h2";

// False: openssl_error() says why.
[[nodiscard]] bool set_common_values(SSL_CTX* context, TlsVersion min_version);

}  // namespace portunus::net
