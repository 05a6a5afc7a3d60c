#include "net/hmac.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

// The functions that OpenSSL 3 has instead of these (EVP) take memory from the heap for each message.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace portunus::net {
namespace {

constexpr std::size_t kBlock = SHA256_CBLOCK;
constexpr unsigned char kInnerPad = 0x36;
constexpr unsigned char kOuterPad = 0x5c;

void begin_with(SHA256_CTX& state, std::span<const unsigned char> block) {
  SHA256_Init(&state);
  SHA256_Update(&state, block.data(), block.size());
}

}  // namespace

// A code begins with the same block of the key each time: both states are kept from behind it.
struct Hmac::Parts {
  Parts() = default;
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    OPENSSL_cleanse(&inner, sizeof inner);
    OPENSSL_cleanse(&outer, sizeof outer);
  }

  SHA256_CTX inner{};
  SHA256_CTX outer{};
};

Hmac::Hmac(std::span<const unsigned char> key) : parts_(std::make_unique<Parts>()) {
  std::array<unsigned char, kBlock> block{};
  if (key.size() > kBlock) {
    SHA256(key.data(), key.size(), block.data());
  } else {
    std::ranges::copy(key, block.begin());
  }
  for (unsigned char& byte : block)
    byte ^= kInnerPad;
  begin_with(parts_->inner, block);
  for (unsigned char& byte : block)
    byte ^= kInnerPad ^ kOuterPad;
  begin_with(parts_->outer, block);
  OPENSSL_cleanse(block.data(), block.size());
}

Hmac::~Hmac() = default;
Hmac::Hmac(Hmac&&) noexcept = default;
Hmac& Hmac::operator=(Hmac&&) noexcept = default;

Hmac::Code Hmac::of(std::string_view message) {
  Code code{};
  SHA256_CTX state = parts_->inner;
  SHA256_Update(&state, message.data(), message.size());
  SHA256_Final(code.data(), &state);
  state = parts_->outer;
  SHA256_Update(&state, code.data(), code.size());
  SHA256_Final(code.data(), &state);
  return code;
}

bool is_same_code(std::span<const unsigned char> a, std::span<const unsigned char> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace portunus::net

#pragma GCC diagnostic pop
