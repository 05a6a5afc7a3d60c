// What people and machines are shown of certificates: names, times, issuers, and never a key. Pure
// functions; control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "conf/model.h"
#include "net/certificate.h"
#include "proxy/metrics_text.h"
#include "proxy/tls_setup.h"

namespace portunus::proxy {

// What a responder says of a certificate that names one. Seconds since 1970 where not said otherwise.
struct OcspView {
  std::string_view state =
      "waiting";                 // or "good": stapled; "revoked"; "failed": nothing is stapled
  std::string responder;         // the URL of the one that is asked next
  std::int64_t this_update = 0;  // of the newest answer that was believed; 0 = none
  std::int64_t next_update = 0;
  std::int64_t next_fetch_in_s = -1;  // -1: none is planned, or it runs
  std::string error;                  // of the last fetch, also while an older answer is stapled
  bool is_required = false;           // by the certificate (must-staple)
};

struct OcspCounts {
  std::uint64_t good = 0;
  std::uint64_t revoked = 0;
  std::uint64_t failed = 0;
};

struct CertificateView {
  net::SharedCertificate certificate;
  std::string source;  // "file" or "internal"
  std::string file;    // empty: of our own authority
  std::optional<OcspView> ocsp = std::nullopt;
};

[[nodiscard]] std::string_view name_of(net::KeyKind kind);

// Each file once, in the order of the configuration, then those of our own authority.
[[nodiscard]] std::vector<CertificateView> list_certificates(
    const conf::Model& model,
    const FileCertificates& files,
    std::span<const net::SharedCertificate> internal);
// {"certificates":[{...}],"root":"/path"}
[[nodiscard]] std::string certificates_json(std::span<const CertificateView> certificates,
                                            const std::string& root_file,
                                            std::uint64_t now_us);
void render_certificates(std::span<const CertificateView> certificates,
                         const OcspCounts& fetches,
                         MetricsText& out);

}  // namespace portunus::proxy
