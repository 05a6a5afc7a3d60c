#include "net/certificate.h"

#include <algorithm>
#include <functional>

#include "net/openssl_ptr.h"

namespace portunus::net {

Certificate::~Certificate() {
  X509_free(leaf_.load(std::memory_order_relaxed));
  EVP_PKEY_free(key_);
  sk_X509_pop_free(chain_, X509_free);
}

bool Certificate::covers(std::string_view host) const {
  const auto has = [this](std::string_view name) {
    return std::ranges::binary_search(
        names_, name, std::less<>{},
        [](const std::string& each) -> std::string_view { return each; });
  };
  if (has(host)) return true;
  const std::size_t dot = host.find('.');
  if (dot == std::string_view::npos || host.starts_with('*')) return false;
  return has("*" + std::string(host.substr(dot)));
}

std::size_t Certificate::chain_size() const {
  return chain_ == nullptr ? 0 : static_cast<std::size_t>(sk_X509_num(chain_));
}

x509_st* Certificate::leaf() const {
  X509* known = leaf_.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  const unsigned char* at = bytes_.data();
  X509* const made = d2i_X509(nullptr, &at, static_cast<long>(bytes_.size()));
  if (made == nullptr) return nullptr;
  // Another thread may have been faster.
  if (leaf_.compare_exchange_strong(known, made, std::memory_order_acq_rel,
                                    std::memory_order_acquire))
    return made;
  X509_free(made);
  return known;
}

bool Certificate::use_for(ssl_st* connection) const {
  return SSL_use_cert_and_key(connection, leaf(), key_, chain_, 1) == 1;
}

bool Certificate::use_for(ssl_ctx_st* context) const {
  return SSL_CTX_use_cert_and_key(context, leaf(), key_, chain_, 1) == 1;
}

}  // namespace portunus::net
