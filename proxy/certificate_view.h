// What people and machines are shown of certificates: names, times, issuers, and never a key. Pure
// functions; control thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "conf/model.h"
#include "net/certificate.h"
#include "proxy/metrics_text.h"
#include "proxy/tls_setup.h"

namespace portunus::proxy {

struct CertificateView {
  net::SharedCertificate certificate;
  std::string source;  // "file" or "internal"
  std::string file;    // empty: of our own authority
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
void render_certificates(std::span<const CertificateView> certificates, MetricsText& out);

}  // namespace portunus::proxy
