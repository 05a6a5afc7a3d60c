// The family of certificates.
#include <string>
#include <unordered_map>

#include "proxy/certificate_view.h"

namespace portunus::proxy {
namespace {

// The label of metrics: one that stays when further names come.
std::string_view first_name(const net::Certificate& certificate) {
  return certificate.names().empty() ? std::string_view{} : certificate.names().front();
}

}  // namespace

void render_certificates(std::span<const CertificateView> certificates, MetricsText& out) {
  if (certificates.empty()) return;
  // Of several with the same labels the one that ends first: that is the one to look after.
  std::unordered_map<std::string, const net::Certificate*> first;
  const auto key_of = [](const net::Certificate& certificate) {
    return std::string(first_name(certificate)) + '\n' + certificate.issuer() + '\n' +
           std::string(name_of(certificate.kind()));
  };
  for (const CertificateView& view : certificates) {
    const auto [known, is_new] = first.emplace(key_of(*view.certificate), view.certificate.get());
    if (!is_new && view.certificate->not_after() < known->second->not_after())
      known->second = view.certificate.get();
  }
  out.family("portunus_certificate_not_after_timestamp_seconds", MetricsText::Type::gauge,
             "When the certificate ends.");
  for (const CertificateView& view : certificates) {
    if (first.at(key_of(*view.certificate)) != view.certificate.get()) continue;
    const std::string issuer = view.certificate->issuer();
    out.sample_real({{"name", first_name(*view.certificate)},
                     {"issuer", issuer},
                     {"key", name_of(view.certificate->kind())}},
                    static_cast<double>(view.certificate->not_after()));
  }
}

}  // namespace portunus::proxy
