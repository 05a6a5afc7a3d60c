#include "net/client_authority.h"

#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "net/openssl_ptr.h"

namespace portunus::net {
namespace {

std::int64_t end_of(const X509* certificate) {
  return seconds_of(X509_get0_notAfter(certificate));
}

}  // namespace

ClientAuthority::~ClientAuthority() {
  X509_STORE_free(store_);
  sk_X509_NAME_pop_free(names_, X509_NAME_free);
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
  // An authority may be known by a certificate of another one.
  X509_STORE_set_flags(store_, X509_V_FLAG_PARTIAL_CHAIN);
  not_after_ = std::numeric_limits<std::int64_t>::max();
  std::size_t count = 0;
  while (const OpensslPtr<X509> each{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)}) {
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

bool ClientRule::is_met_by(const ClientRule* other) const {
  if (other == nullptr || authority == nullptr || other->authority == nullptr) return false;
  return is_required == other->is_required &&
         (authority == other->authority ||
          authority->fingerprint() == other->authority->fingerprint());
}

}  // namespace portunus::net
