#include "net/bare_certificate.h"

#include <openssl/asn1err.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

namespace portunus::net {
namespace {

// Without algorithms, and thus without decoders of keys.
OSSL_LIB_CTX* bare_library() {
  static OSSL_LIB_CTX* const library = [] {
    OSSL_LIB_CTX* const made = OSSL_LIB_CTX_new();
    // Else the default ones come when something is asked for.
    if (made != nullptr) static_cast<void>(OSSL_PROVIDER_load(made, "null"));
    return made;
  }();
  return library;
}

}  // namespace

OpensslPtr<X509> read_bare_certificate(std::span<const unsigned char> bytes) {
  OSSL_LIB_CTX* const library = bare_library();
  X509* out = library == nullptr ? nullptr : X509_new_ex(library, nullptr);
  const unsigned char* at = bytes.data();
  // What it cannot read it frees, and sets to null.
  if (out != nullptr) static_cast<void>(d2i_X509(&out, &at, static_cast<long>(bytes.size())));
  // Bytes behind it are shown to nobody, and would count in its fingerprint.
  if (out != nullptr && at != bytes.data() + bytes.size()) {
    X509_free(out);
    out = nullptr;
    ERR_raise(ERR_LIB_ASN1, ASN1_R_TOO_LONG);
  }
  return OpensslPtr<X509>(out);
}

}  // namespace portunus::net
