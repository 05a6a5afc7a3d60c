// The authorities that a site's clients are known by: whose certificates they have to show. Read from
// PEM, known to be usable; immutable and shared by all threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

struct stack_st_X509_NAME;
struct x509_store_st;

namespace portunus::net {

class ClientAuthority;
using SharedClientAuthority = std::shared_ptr<const ClientAuthority>;

class ClientAuthority {
 public:
  // What clients are told of them stands in every handshake.
  static constexpr std::size_t kCountMax = 100;

  ~ClientAuthority();
  ClientAuthority(const ClientAuthority&) = delete;
  ClientAuthority& operator=(const ClientAuthority&) = delete;

  // One certificate or several. Each is trusted as it stands, one that is not a root too. The error is
  // for the user.
  [[nodiscard]] static std::expected<SharedClientAuthority, std::string> read(std::string_view pem);

  // SHA-256 of all of them, in hexadecimal digits.
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  // Of the one that ends first; seconds since 1970.
  [[nodiscard]] std::int64_t not_after() const { return not_after_; }
  [[nodiscard]] x509_store_st* store() const { return store_; }
  // For the client to choose by.
  [[nodiscard]] stack_st_X509_NAME* names() const { return names_; }

 private:
  ClientAuthority() = default;
  [[nodiscard]] std::string read_all(std::string_view pem);

  x509_store_st* store_ = nullptr;
  stack_st_X509_NAME* names_ = nullptr;
  std::string fingerprint_;
  std::int64_t not_after_ = 0;
};

// What is asked of the clients of a site.
struct ClientRule {
  SharedClientAuthority authority;  // null: its file is of no use, and nobody gets in
  bool is_required = true;          // else without a certificate, too
  // Whether a connection that was opened under `other` (null: none) has given what this one asks for.
  [[nodiscard]] bool is_met_by(const ClientRule* other) const;
  friend bool operator==(const ClientRule&, const ClientRule&) = default;
};

}  // namespace portunus::net
