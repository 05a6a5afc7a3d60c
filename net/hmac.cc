#include "net/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"

namespace portunus::net {
namespace {

constexpr std::size_t kBlock = 64;  // of SHA-256

}  // namespace

struct Hmac::Parts {
  Parts() : context(EVP_MD_CTX_new()), digest(EVP_MD_fetch(nullptr, "SHA256", nullptr)) {
    CHECK(context != nullptr && digest != nullptr);
  }
  ~Parts() {
    EVP_MD_CTX_free(context);
    EVP_MD_free(digest);
    OPENSSL_cleanse(inner.data(), inner.size());
    OPENSSL_cleanse(outer.data(), outer.size());
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  // With the same digest again nothing can fail: no memory is taken.
  void hash(std::span<const unsigned char> first,
            std::span<const unsigned char> second,
            Code& out) {
    unsigned int size = 0;
    CHECK(EVP_DigestInit_ex2(context, digest, nullptr) == 1);
    CHECK(EVP_DigestUpdate(context, first.data(), first.size()) == 1);
    CHECK(EVP_DigestUpdate(context, second.data(), second.size()) == 1);
    CHECK(EVP_DigestFinal_ex(context, out.data(), &size) == 1);
  }

  EVP_MD_CTX* context;
  EVP_MD* digest;
  std::array<unsigned char, kBlock> inner{};
  std::array<unsigned char, kBlock> outer{};
};

Hmac::Hmac(std::span<const unsigned char> key) : parts_(std::make_unique<Parts>()) {
  Code shortened{};
  if (key.size() > kBlock) {
    parts_->hash(key, {}, shortened);
    key = shortened;
  }
  std::ranges::copy(key, parts_->inner.begin());
  std::ranges::copy(key, parts_->outer.begin());
  for (unsigned char& byte : parts_->inner)
    byte ^= 0x36U;
  for (unsigned char& byte : parts_->outer)
    byte ^= 0x5cU;
  OPENSSL_cleanse(shortened.data(), shortened.size());
}

Hmac::~Hmac() = default;
Hmac::Hmac(Hmac&&) noexcept = default;
Hmac& Hmac::operator=(Hmac&&) noexcept = default;

Hmac::Code Hmac::of(std::string_view message) {
  Code inner{};
  Code out{};
  const auto* const bytes = reinterpret_cast<const unsigned char*>(message.data());
  parts_->hash(parts_->inner, {bytes, message.size()}, inner);
  parts_->hash(parts_->outer, inner, out);
  return out;
}

bool is_same_code(std::span<const unsigned char> a, std::span<const unsigned char> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace portunus::net
