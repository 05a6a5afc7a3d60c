// Certificates whose public keys stay undecoded: for who asks for names, times and extensions of many. In
// OpenSSL 3.0 decoding the key is nine tenths of reading a certificate, since it makes a decoder for each.
// For sources only: it names OpenSSL's types. Any thread.
#pragma once

#include <span>

#include "net/openssl_ptr.h"

namespace portunus::net {

// Of DER; null when it is none. X509_get0_pubkey() and X509_digest() fail for what it gives.
[[nodiscard]] OpensslPtr<X509> read_bare_certificate(std::span<const unsigned char> bytes);

}  // namespace portunus::net
