// HMAC with SHA-256 (RFC 2104, RFC 6234) of short messages under one key, one after another without an
// allocation: for what is signed or looked at with each request. OpenSSL's own HMAC copies two states
// on the heap for each message. Holds a copy of the key, wiped at its end. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace portunus::net {

class Hmac {
 public:
  static constexpr std::size_t kSize = 32;
  using Code = std::array<unsigned char, kSize>;

  // Of any length; empty is allowed by the RFC and no secret.
  explicit Hmac(std::span<const unsigned char> key);
  ~Hmac();
  Hmac(Hmac&&) noexcept;
  Hmac& operator=(Hmac&&) noexcept;
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;

  [[nodiscard]] Code of(std::string_view message);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// In a time that does not tell where they differ.
[[nodiscard]] bool is_same_code(std::span<const unsigned char> a, std::span<const unsigned char> b);

}  // namespace portunus::net
