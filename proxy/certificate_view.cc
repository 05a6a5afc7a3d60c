#include "proxy/certificate_view.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "proxy/admin_views.h"

namespace portunus::proxy {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::uint64_t kMicroseconds = 1'000'000;

std::string time_text(std::int64_t seconds) {
  return utc_text(static_cast<std::uint64_t>(std::max<std::int64_t>(0, seconds)) * kMicroseconds);
}

OrderedJson ocsp_json(const OcspView& view) {
  OrderedJson out;
  out["state"] = view.state;
  out["responder"] = view.responder;
  if (view.next_update != 0) {
    out["this_update"] = time_text(view.this_update);
    out["next_update"] = time_text(view.next_update);
  }
  if (view.next_fetch_in_s >= 0) out["next_fetch_in_s"] = view.next_fetch_in_s;
  if (view.is_required) out["must_staple"] = true;
  if (!view.error.empty()) out["error"] = view.error;
  return out;
}

}  // namespace

std::string_view name_of(net::KeyKind kind) {
  switch (kind) {
    case net::KeyKind::ecdsa:
      return "ecdsa";
    case net::KeyKind::rsa:
      return "rsa";
    case net::KeyKind::other:
      return "other";
  }
  return "";
}

std::vector<CertificateView> list_certificates(const conf::Model& model,
                                               const FileCertificates& files,
                                               std::span<const net::SharedCertificate> internal) {
  std::vector<CertificateView> out;
  out.reserve(files.size() + internal.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i] != nullptr) out.push_back({files[i], "file", model.certificates[i].file});
  }
  for (const net::SharedCertificate& each : internal)
    out.push_back({each, "internal", {}});
  return out;
}

std::string certificates_json(std::span<const CertificateView> certificates,
                              const std::string& root_file,
                              std::uint64_t now_us) {
  OrderedJson all = OrderedJson::array();
  for (const CertificateView& view : certificates) {
    const net::Certificate& certificate = *view.certificate;
    OrderedJson each;
    each["names"] = certificate.names();
    each["subject"] = certificate.subject();
    each["issuer"] = certificate.issuer();
    each["not_before"] = time_text(certificate.not_before());
    each["not_after"] = time_text(certificate.not_after());
    each["expires_in_s"] =
        certificate.not_after() - static_cast<std::int64_t>(now_us / kMicroseconds);
    each["key"] = name_of(certificate.kind());
    each["source"] = view.source;
    if (!view.file.empty()) each["file"] = view.file;
    each["fingerprint"] = certificate.fingerprint();
    if (view.ocsp) each["ocsp"] = ocsp_json(*view.ocsp);
    all.push_back(std::move(each));
  }
  OrderedJson out;
  out["certificates"] = std::move(all);
  if (!root_file.empty()) out["root"] = root_file;
  return out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
}

}  // namespace portunus::proxy
