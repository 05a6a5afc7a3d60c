#include "net/client_authority.h"

#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>
#include <span>
#include <utility>

#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

std::int64_t end_of(const X509* certificate) {
  return seconds_of(X509_get0_notAfter(certificate));
}

int authority_index() {
  static const int index =
      CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_X509_STORE, 0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int error_of(RevocationList::Verdict verdict) {
  switch (verdict) {
    case RevocationList::Verdict::good:
      return X509_V_OK;
    case RevocationList::Verdict::revoked:
      return X509_V_ERR_CERT_REVOKED;
    case RevocationList::Verdict::unlisted:
      return X509_V_ERR_UNABLE_TO_GET_CRL;
    case RevocationList::Verdict::out_of_date:
      return X509_V_ERR_CRL_HAS_EXPIRED;
  }
  return X509_V_ERR_UNSPECIFIED;
}

// Instead of OpenSSL's own, which would verify the list's signature in each handshake: the time of that
// grows with the list, and anybody could ask for it.
int check_revocations(X509_STORE_CTX* verified) {
  const auto* const authority = static_cast<const ClientAuthority*>(
      X509_STORE_get_ex_data(X509_STORE_CTX_get0_store(verified), authority_index()));
  const RevocationList* const list = authority->revocations();
  if (list == nullptr) return 1;
  const int error = error_of(list->judge(X509_STORE_CTX_get0_chain(verified), std::time(nullptr)));
  if (error == X509_V_OK) return 1;
  X509_STORE_CTX_set_error(verified, error);
  return 0;
}

}  // namespace

ClientAuthority::~ClientAuthority() {
  X509_STORE_free(store_);
  sk_X509_NAME_pop_free(names_, X509_NAME_free);
  for (X509* each : certificates_)
    X509_free(each);
}

// What is wrong; empty = nothing.
std::string ClientAuthority::read_all(std::string_view pem) {
  store_ = X509_STORE_new();
  names_ = sk_X509_NAME_new_null();
  const OpensslPtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest(EVP_MD_CTX_new(),
                                                                       &EVP_MD_CTX_free);
  if (store_ == nullptr || names_ == nullptr || in == nullptr || digest == nullptr ||
      EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1) {
    return openssl_error();
  }
  if (authority_index() < 0 || X509_STORE_set_ex_data(store_, authority_index(), this) != 1)
    return openssl_error();
  X509_STORE_set_check_revocation(store_, &check_revocations);
  // An authority may be known by a certificate of another one.
  X509_STORE_set_flags(store_, X509_V_FLAG_PARTIAL_CHAIN);
  not_after_ = std::numeric_limits<std::int64_t>::max();
  std::size_t count = 0;
  while (
      const OpensslPtr<X509> each{PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr)}) {
    if (++count > kCountMax) return "more than " + std::to_string(kCountMax) + " certificates";
    std::array<unsigned char, EVP_MAX_MD_SIZE> own{};
    unsigned size = 0;
    OpensslPtr<X509_NAME> name(X509_NAME_dup(X509_get_subject_name(each.get())));
    if (name == nullptr || X509_STORE_add_cert(store_, each.get()) != 1 ||
        X509_digest(each.get(), EVP_sha256(), own.data(), &size) != 1 ||
        EVP_DigestUpdate(digest.get(), own.data(), size) != 1 ||
        sk_X509_NAME_push(names_, name.get()) <= 0) {
      return openssl_error();
    }
    static_cast<void>(name.release());  // NOLINT(bugprone-unused-return-value): the list's now
    not_after_ = std::min(not_after_, end_of(each.get()));
    X509_up_ref(each.get());
    certificates_.push_back(each.get());
  }
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  const bool is_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!is_end) return "a certificate in it is broken";
  if (count == 0) return "there is no certificate in it (PEM)";
  std::array<unsigned char, EVP_MAX_MD_SIZE> all{};
  unsigned size = 0;
  if (EVP_DigestFinal_ex(digest.get(), all.data(), &size) != 1) return openssl_error();
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const unsigned char byte : std::span(all).first(size)) {
    fingerprint_ += kDigits[byte >> 4U];
    fingerprint_ += kDigits[byte & 15U];
  }
  return {};
}

std::expected<SharedClientAuthority, std::string> ClientAuthority::read(std::string_view pem) {
  ERR_clear_error();
  std::shared_ptr<ClientAuthority> made(new ClientAuthority);
  if (std::string wrong = made->read_all(pem); !wrong.empty()) return std::unexpected(wrong);
  return made;
}

SharedRevocationList ClientAuthority::exchange_revocations(SharedRevocationList list) const {
  revocations_.store(list.get(), std::memory_order_release);
  return std::exchange(owned_revocations_, std::move(list));
}

// With a list only under that very authority: another one's may be older.
bool ClientRule::is_met_by(const ClientRule* other) const {
  if (other == nullptr || authority == nullptr || other->authority == nullptr) return false;
  if (is_required != other->is_required) return false;
  return authority == other->authority ||
         (authority->revocations() == nullptr &&
          authority->fingerprint() == other->authority->fingerprint());
}

}  // namespace portunus::net
