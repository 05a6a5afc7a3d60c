// Which certificates belong to which name: the exact name first, then the wildcard of one label, then
// those of everybody. Several of different kinds (ECDSA beside RSA) may belong to one name; OpenSSL
// takes what the client can use. Built by the control thread through CertStoreBuilder, immutable
// afterwards and shared by all threads; a look-up takes the same time with one name and with a hundred
// thousand, and neither lock nor memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/certificate.h"
#include "net/host_map.h"

namespace portunus::net {

class CertStore {
 public:
  // The certificates of some names, with their chains: at most one of each kind.
  using Set = std::uint32_t;
  static constexpr Set kNone = HostMap::kNone;

  // Of a host as a client writes it, in any case, with or without the dot at its end. kNone: nobody
  // has named it.
  [[nodiscard]] Set find(std::string_view host) const { return names_.find(host); }
  // The same, but the certificates of everybody for an empty or unknown one; kNone without such.
  [[nodiscard]] Set find_or_default(std::string_view host) const;
  [[nodiscard]] Set default_set() const { return default_; }
  // Whether a request for `host` may come over a connection that was opened for `sni` (empty: for
  // nobody in particular): the same certificates speak for both, be it with other chains. Else the answer is 421 (RFC 9110
  // section 15.5.20).
  [[nodiscard]] bool agree(std::string_view sni, std::string_view host) const {
    return sni == host || speakers_of(find_or_default(sni)) == speakers_of(find_or_default(host));
  }
  [[nodiscard]] std::span<const SharedCertificate> certificates(Set set) const {
    return sets_[set];
  }
  [[nodiscard]] std::size_t set_count() const { return sets_.size(); }
  [[nodiscard]] std::size_t name_count() const { return names_.size(); }

 private:
  friend class CertStoreBuilder;

  [[nodiscard]] std::uint32_t speakers_of(Set set) const {
    return set == kNone ? kNone : speakers_[set];
  }

  std::vector<std::vector<SharedCertificate>> sets_;
  std::vector<std::uint32_t> speakers_;  // by set: the same number for the same certificates
  HostMap names_;
  Set default_ = kNone;
};
using SharedCertStore = std::shared_ptr<const CertStore>;

class CertStoreBuilder {
 public:
  CertStoreBuilder();

  // Who is named twice with certificates of one kind keeps the one that is good for longer. Names are
  // as in conf::Site::hosts: exact, `*.name`; `*` is everybody.
  void add(std::string_view name, const SharedCertificate& certificate);
  // Instead of all that this name has by now.
  void replace(std::string_view name, std::span<const SharedCertificate> certificates);
  // For all names that it has itself.
  void add(const SharedCertificate& certificate);
  // For whoever names no host, or one that nobody has named. Without it they are refused.
  void set_default(std::span<const SharedCertificate> certificates);
  [[nodiscard]] SharedCertStore build();

 private:
  using Certificates = std::vector<SharedCertificate>;
  static void put(Certificates& certificates, const SharedCertificate& fresh);
  [[nodiscard]] CertStore::Set set_of(const Certificates& certificates);

  std::unordered_map<std::string, Certificates> names_;
  Certificates default_;
  std::unordered_map<std::string, CertStore::Set> sets_;     // by the files' contents
  std::unordered_map<std::string, std::uint32_t> speakers_;  // by the fingerprints
  std::shared_ptr<CertStore> store_;
};

}  // namespace portunus::net
