// The authorities that a site's clients are known by: whose certificates they have to show. Read from
// PEM, known to be usable; immutable but for the list of those that they have taken back, and shared by
// all threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/revocation_list.h"

struct stack_st_X509_NAME;
struct x509_st;
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
  [[nodiscard]] std::span<x509_st* const> certificates() const { return certificates_; }

  // Once there is a list, nobody gets in who is in it, or of whom it does not tell; null: nobody has
  // asked for one. It lives at least until the end of the turn.
  [[nodiscard]] const RevocationList* revocations() const {
    return revocations_.load(std::memory_order_acquire);
  }
  // By the control thread, or before others know of this. The one before is the caller's, who keeps it
  // until no thread can be in the turn in which it got that.
  SharedRevocationList exchange_revocations(SharedRevocationList list) const;

 private:
  ClientAuthority() = default;
  [[nodiscard]] std::string read_all(std::string_view pem);

  x509_store_st* store_ = nullptr;
  stack_st_X509_NAME* names_ = nullptr;
  std::vector<x509_st*> certificates_;
  std::string fingerprint_;
  std::int64_t not_after_ = 0;
  mutable SharedRevocationList owned_revocations_;
  mutable std::atomic<const RevocationList*> revocations_{nullptr};
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
