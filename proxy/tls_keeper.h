// What of TLS outlives a generation: the certificates that have been read, those of our own authority,
// and when session tickets get their next key. Control thread, except cache(), which a load uses on a
// thread of the pool; one load runs at a time.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "conf/model.h"
#include "net/certificate_cache.h"
#include "net/loop.h"
#include "net/private_authority.h"
#include "net/ticket_keys.h"
#include "proxy/tls_setup.h"

namespace portunus::proxy {

class TlsKeeper {
 public:
  TlsKeeper(net::Loop& loop, net::TicketKeys& tickets);
  ~TlsKeeper() = default;
  TlsKeeper(const TlsKeeper&) = delete;
  TlsKeeper& operator=(const TlsKeeper&) = delete;

  [[nodiscard]] net::CertificateCache& cache() { return cache_; }
  // For each site of the model; made or renewed where needed, and kept in that folder. They are what
  // is shown from the next note() on. The error is one line.
  [[nodiscard]] std::expected<InternalCertificates, std::string> internal(
      const conf::Model& model, const std::string& folder);
  // This is what runs, with those of the last internal().
  void note(const conf::Model& model);
  // One of those that are shown should be made anew.
  [[nodiscard]] bool is_renewal_due() const;
  // Those that are shown, each once.
  [[nodiscard]] std::vector<net::SharedCertificate> made() const;
  // Of our own authority; empty without one.
  [[nodiscard]] const std::string& root_file() const { return root_file_; }

 private:
  // Opens the authority when it is the first.
  [[nodiscard]] std::expected<net::SharedCertificate, std::string> make(
      std::optional<net::PrivateAuthority>& authority,
      const std::string& folder,
      const std::vector<std::string>& names);
  void rotate();

  net::Loop& loop_;
  net::TicketKeys& tickets_;
  net::Deadline rotation_;
  std::uint64_t rotation_ms_ = 0;  // 0 = never
  net::CertificateCache cache_;
  std::unordered_map<std::string, net::SharedCertificate> internal_;  // by their names
  std::unordered_map<std::string, net::SharedCertificate> next_;      // until note()
  std::string root_file_;
};

}  // namespace portunus::proxy
