#include "net/trust_store.h"

#include <openssl/pem.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>

#include "base/hash.h"
#include "net/openssl_ptr.h"

namespace portunus::net {

TrustStore::~TrustStore() {
  X509_STORE_free(store_);
}

std::expected<SharedTrust, std::string> TrustStore::read(std::string_view text) {
  if (text.size() > INT_MAX) return std::unexpected("too large");
  const OpensslPtr<BIO> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  std::shared_ptr<TrustStore> out(new TrustStore);
  out->store_ = X509_STORE_new();
  if (!bio || out->store_ == nullptr) return std::unexpected("out of memory");
  ERR_clear_error();
  while (true) {
    const OpensslPtr<X509> each(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_passphrase, nullptr));
    if (!each) break;
    if (X509_STORE_add_cert(out->store_, each.get()) != 1)
      return std::unexpected("a certificate cannot be used: " + openssl_error());
    ++out->size_;
  }
  const unsigned long code = ERR_peek_last_error();
  const bool is_end =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (!is_end) return std::unexpected("the PEM text is broken: " + openssl_error());
  ERR_clear_error();
  if (out->size_ == 0) return std::unexpected("holds no certificate (no `BEGIN CERTIFICATE`)");
  out->content_hash_ = base::stable_hash(text);
  return out;
}

std::string system_trust_file() {
  // OpenSSL's own way would read a folder while hands are shaken, on the thread that serves.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment
  const char* const given = std::getenv("SSL_CERT_FILE");
  if (given != nullptr && *given != '\0') return given;
  constexpr std::array kUsual{
      "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Arch, Gentoo
      "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL
      "/etc/pki/tls/certs/ca-bundle.crt",                   // older ones of these
      "/etc/ssl/ca-bundle.pem",                             // openSUSE
      "/etc/ssl/cert.pem",                                  // Alpine
  };
  for (const char* each : kUsual) {
    if (::access(each, F_OK) == 0) return each;
  }
  return {};
}

}  // namespace portunus::net
