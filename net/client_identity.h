// Who a client is by the certificate that it has shown and that has been found good, as texts for
// members and the log. Made once per connection. Pure; any thread.
#pragma once

#include <memory>
#include <string>

struct x509_st;

namespace portunus::net {

// Visible ASCII alone, without anything by which one value could be taken for another or for two.
// Empty: there is none, or it is too long to be passed on; never cut.
struct ClientIdentity {
  std::string subject;      // RFC 4514: "CN=alice,O=Example"
  std::string names;        // "DNS:a.example, URI:spiffe://x/y"; odd characters as %XX
  std::string fingerprint;  // SHA-256, 64 hexadecimal digits
  std::string certificate;  // RFC 9440: base64 of DER between colons
};

[[nodiscard]] std::unique_ptr<const ClientIdentity> identity_of(x509_st* certificate);

}  // namespace portunus::net
