// Owners of OpenSSL's objects, its times as numbers, and its last error in words. For sources only: no other header of
// ours includes OpenSSL's. Any thread.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>

namespace portunus::net {

struct OpensslDeleter {
  void operator()(BIGNUM* it) const { BN_free(it); }
  void operator()(BIO* it) const { BIO_free(it); }
  void operator()(EVP_PKEY* it) const { EVP_PKEY_free(it); }
  void operator()(EVP_PKEY_CTX* it) const { EVP_PKEY_CTX_free(it); }
  void operator()(SSL_CTX* it) const { SSL_CTX_free(it); }
  void operator()(SSL* it) const { SSL_free(it); }
  void operator()(X509* it) const { X509_free(it); }
  void operator()(X509_NAME* it) const { X509_NAME_free(it); }
  void operator()(X509_EXTENSION* it) const { X509_EXTENSION_free(it); }
  void operator()(GENERAL_NAMES* it) const { GENERAL_NAMES_free(it); }
  void operator()(STACK_OF(X509) * it) const { sk_X509_pop_free(it, X509_free); }
};
template <typename T>
using OpensslPtr = std::unique_ptr<T, OpensslDeleter>;

// For PEM_read_bio_*: nothing that is encrypted is read, and nobody is asked on the terminal.
[[nodiscard]] inline int no_passphrase(char* /*room*/,
                                       int /*size*/,
                                       int /*writing*/,
                                       void* /*user*/) {
  return -1;
}

// Since 1970; 0 for none, and for what is no time.
[[nodiscard]] inline std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return ::timegm(&parts);
}

// Of this thread, which forgets all of them.
[[nodiscard]] inline std::string openssl_error() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  std::string text = reason == nullptr ? "unknown error of OpenSSL" : reason;
  ERR_clear_error();
  return text;
}

}  // namespace portunus::net
