// The families of certificates.
#include <algorithm>
#include <string>
#include <unordered_map>

#include "proxy/certificate_view.h"

namespace portunus::proxy {
namespace {

// The label of metrics: one that stays when further names come.
std::string_view first_name(const net::Certificate& certificate) {
  return certificate.names().empty() ? std::string_view{} : certificate.names().front();
}

using FirstByLabels = std::unordered_map<std::string, const CertificateView*>;

std::string labels_of(const net::Certificate& certificate) {
  return std::string(first_name(certificate)) + '\n' + certificate.issuer() + '\n' +
         std::string(name_of(certificate.kind()));
}

// Of several with the same labels the one that ends first: that is the one to look after.
FirstByLabels first_by_labels(std::span<const CertificateView> certificates) {
  FirstByLabels first;
  for (const CertificateView& view : certificates) {
    const auto [known, is_new] = first.emplace(labels_of(*view.certificate), &view);
    if (!is_new && view.certificate->not_after() < known->second->certificate->not_after())
      known->second = &view;
  }
  return first;
}

template <typename SecondsOf>
void render_times(std::span<const CertificateView> certificates,
                  const FirstByLabels& first,
                  SecondsOf seconds_of,
                  MetricsText& out) {
  for (const CertificateView& view : certificates) {
    const std::int64_t seconds = seconds_of(view);
    if (seconds == 0 || first.at(labels_of(*view.certificate)) != &view) continue;
    const std::string issuer = view.certificate->issuer();
    out.sample_real({{"name", first_name(*view.certificate)},
                     {"issuer", issuer},
                     {"key", name_of(view.certificate->kind())}},
                    static_cast<double>(seconds));
  }
}

// Of several with the same labels, whether all are.
void render_stapled(std::span<const CertificateView> certificates, MetricsText& out) {
  out.family("portunus_certificate_ocsp_stapled", MetricsText::Type::gauge,
             "Whether what a responder has said of the certificate is shown to clients.");
  std::unordered_map<std::string, bool> is_stapled;
  const auto key_of = [](const CertificateView& view) {
    return labels_of(*view.certificate) + (view.ocsp->is_required ? '1' : '0');
  };
  for (const CertificateView& view : certificates) {
    if (!view.ocsp) continue;
    bool& all = is_stapled.try_emplace(key_of(view), true).first->second;
    all = all && view.ocsp->state == "good";
  }
  for (const CertificateView& view : certificates) {
    if (!view.ocsp) continue;
    const auto known = is_stapled.find(key_of(view));
    if (known == is_stapled.end()) continue;
    const std::string& issuer = view.certificate->issuer();
    out.sample({{"name", first_name(*view.certificate)},
                {"issuer", issuer},
                {"key", name_of(view.certificate->kind())},
                {"must_staple", view.ocsp->is_required ? "true" : "false"}},
               known->second ? 1U : 0U);
    is_stapled.erase(known);
  }
}

}  // namespace

void render_certificates(std::span<const CertificateView> certificates,
                         const OcspCounts& fetches,
                         MetricsText& out) {
  if (certificates.empty()) return;
  const FirstByLabels first = first_by_labels(certificates);
  out.family("portunus_certificate_not_after_timestamp_seconds", MetricsText::Type::gauge,
             "When the certificate ends.");
  render_times(
      certificates, first,
      [](const CertificateView& view) { return view.certificate->not_after(); }, out);
  if (std::ranges::none_of(certificates, [](const auto& view) { return view.ocsp.has_value(); }))
    return;
  out.family("portunus_certificate_ocsp_next_update_timestamp_seconds", MetricsText::Type::gauge,
             "Until when what the responder has said of the certificate is stapled.");
  render_times(
      certificates, first,
      [](const CertificateView& view) { return view.ocsp ? view.ocsp->next_update : 0; }, out);
  render_stapled(certificates, out);
  out.family("portunus_ocsp_certificates", MetricsText::Type::gauge,
             "Certificates that name a responder, by what is known from it.");
  for (const std::string_view state : {"good", "waiting", "failed", "revoked"}) {
    out.sample({{"state", state}}, static_cast<std::uint64_t>(
                                       std::ranges::count_if(certificates, [&](const auto& view) {
                                         return view.ocsp && view.ocsp->state == state;
                                       })));
  }
  out.family("portunus_ocsp_fetches_total", MetricsText::Type::counter,
             "Answers of OCSP responders about our certificates, and failures to get one.");
  out.sample({{"result", "good"}}, fetches.good);
  out.sample({{"result", "revoked"}}, fetches.revoked);
  out.sample({{"result", "failed"}}, fetches.failed);
}

}  // namespace portunus::proxy
