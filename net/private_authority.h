// Our own authority, for `tls: internal`: an ECDSA P-256 root that lives for ten years, and certificates
// that it signs, for a month each. All of it is kept in one folder, so that who trusts the root need do
// so once: root.pem (for everybody), root.key and the certificates with their keys (mode 0600).
// Blocking; one thread at a time.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "net/certificate.h"

namespace portunus::net {

class PrivateAuthority {
 public:
  static constexpr std::int64_t kRootLife = std::int64_t{3650} * 24 * 3600;  // seconds
  static constexpr std::int64_t kLife = std::int64_t{30} * 24 * 3600;
  // A certificate with less than this left is made anew.
  static constexpr std::int64_t kRenewBefore = std::int64_t{10} * 24 * 3600;

  // Takes up what is in the folder, which must be there; makes the root when there is none. A root that
  // cannot be read is an error, and never replaced: somebody trusts it. One line.
  [[nodiscard]] static std::expected<PrivateAuthority, std::string> open(const std::string& folder);
  ~PrivateAuthority();
  PrivateAuthority(const PrivateAuthority&) = delete;
  PrivateAuthority& operator=(const PrivateAuthority&) = delete;
  PrivateAuthority(PrivateAuthority&&) noexcept;
  PrivateAuthority& operator=(PrivateAuthority&&) noexcept;

  // Of at least one name: DNS names, `*.name`, IP addresses. From the folder, when what is there is
  // for the same names and not due.
  [[nodiscard]] std::expected<SharedCertificate, std::string> certificate_for(
      std::span<const std::string> names);
  [[nodiscard]] std::string root_file() const;

 private:
  struct Parts;
  explicit PrivateAuthority(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

[[nodiscard]] bool is_due(const Certificate& certificate);

}  // namespace portunus::net
