// One certificate with its chain and its private key, known to be usable: the key belongs to it, and
// both are strong enough (net/certificate_reader.h). Immutable but for its staple, and shared by all
// threads.
// The private key is held by OpenSSL alone, which wipes it; its text is never kept and stands in no
// message.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct evp_pkey_st;
struct ssl_ctx_st;
struct ssl_st;
struct stack_st_X509;
struct x509_st;

namespace portunus::net {

// Of which a server may have one each for the same name.
struct OcspStaple;

enum class KeyKind : std::uint8_t { ecdsa, rsa, other };

class Certificate {
 public:
  ~Certificate();
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  // What it is for, in lower case: DNS names, `*.name` too, and IP addresses.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  // Whether a client that asks for this host (exact, `*.name` or an IP address) accepts it.
  [[nodiscard]] bool covers(std::string_view host) const;
  [[nodiscard]] KeyKind kind() const { return kind_; }
  // Seconds since 1970.
  [[nodiscard]] std::int64_t not_before() const { return not_before_; }
  [[nodiscard]] std::int64_t not_after() const { return not_after_; }
  // SHA-256 of the certificate, 64 hexadecimal digits.
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  // Another one for another chain, too.
  [[nodiscard]] std::uint64_t content_hash() const { return content_hash_; }
  [[nodiscard]] bool is_self_signed() const { return is_self_signed_; }
  // Certificates that are sent besides its own.
  [[nodiscard]] std::size_t chain_size() const;
  // For people: "CN=R3, O=Let's Encrypt, C=US".
  [[nodiscard]] const std::string& issuer() const { return issuer_; }
  [[nodiscard]] const std::string& subject() const { return subject_; }
  // Of the OCSP responder; empty when it names none.
  [[nodiscard]] const std::string& ocsp_url() const { return ocsp_url_; }

  // DER.
  [[nodiscard]] const std::vector<unsigned char>& bytes() const { return bytes_; }
  // Made when it is asked for first: of ten thousand, few are shown in their first hour, and OpenSSL
  // 3.0 takes a fifth of a millisecond to find its decoder for the public key in one. Null without
  // memory.
  [[nodiscard]] x509_st* leaf() const;
  [[nodiscard]] stack_st_X509* chain() const { return chain_; }
  // Makes a connection that has not chosen yet, or all of a context, offer it besides those of
  // other kinds.
  [[nodiscard]] bool use_for(ssl_st* connection) const;
  [[nodiscard]] bool use_for(ssl_ctx_st* context) const;
  // What is sent along with it to clients that ask; null = nothing. Set by the control thread, which
  // keeps what it had set before until no thread can be in the turn in which it got that.
  [[nodiscard]] const OcspStaple* staple() const { return staple_.load(std::memory_order_acquire); }
  void set_staple(const OcspStaple* staple) const {
    staple_.store(staple, std::memory_order_release);
  }

 private:
  friend class CertificateReader;
  Certificate() = default;

  std::vector<unsigned char> bytes_;
  mutable std::atomic<x509_st*> leaf_{nullptr};
  evp_pkey_st* key_ = nullptr;
  stack_st_X509* chain_ = nullptr;  // null = empty
  std::vector<std::string> names_;
  std::string issuer_;
  std::string subject_;
  std::string fingerprint_;
  std::string ocsp_url_;
  mutable std::atomic<const OcspStaple*> staple_{nullptr};
  std::uint64_t content_hash_ = 0;
  std::int64_t not_before_ = 0;
  std::int64_t not_after_ = 0;
  KeyKind kind_ = KeyKind::other;
  bool is_self_signed_ = false;
};
using SharedCertificate = std::shared_ptr<const Certificate>;

}  // namespace portunus::net
