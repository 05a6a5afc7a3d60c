// The certificates of authorities that somebody trusts, read from a PEM text: a private authority's,
// or all that the system has in one file. Immutable and shared by all threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

struct x509_store_st;

namespace portunus::net {

class TrustStore {
 public:
  ~TrustStore();
  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;

  // At least one certificate; the error is for the user.
  [[nodiscard]] static std::expected<std::shared_ptr<const TrustStore>, std::string> read(
      std::string_view text);

  [[nodiscard]] x509_store_st* get() const { return store_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::uint64_t content_hash() const { return content_hash_; }

 private:
  TrustStore() = default;
  x509_store_st* store_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t content_hash_ = 0;
};
using SharedTrust = std::shared_ptr<const TrustStore>;

// Where this system keeps the authorities that it trusts, in one file: SSL_CERT_FILE of the
// environment, or the first of the usual places that is there. Empty: none is.
[[nodiscard]] std::string system_trust_file();

}  // namespace portunus::net
