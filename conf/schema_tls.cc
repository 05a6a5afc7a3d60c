// The file's `tls`, and what a site says under that name.
#include <array>
#include <string>
#include <utility>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tls_reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

// ---- certificates ----

void read_cert(Reader& reader, const Key& key, const Node& value, void* object) {
  read_certificate_file(reader, key, value, *static_cast<CertificateBody*>(object));
}

void read_key(Reader& reader, const Key& key, const Node& value, void* object) {
  read_key_file(reader, key, value, *static_cast<CertificateBody*>(object));
}

constexpr auto kCertificateKeys = std::to_array<Key>({
    {.name = "cert",
     .type = Type::text,
     .read = read_cert,
     .doc = "PEM: the server's certificate, then those that lead to its authority. A relative path "
            "starts at the folder of this file. Read again when it changes.",
     .is_required = true},
    {.name = "key",
     .type = Type::text,
     .read = read_key,
     .doc = "PEM: its private key, without a passphrase. Without this key: the same file."},
});
constexpr Section kCertificate{"a certificate", kCertificateKeys, {}};

void add_certificate(Reader& reader, CertificateBody body, std::vector<std::size_t>& out) {
  if (body.file.empty()) return;  // reported
  if (body.key_place.line == 0) {
    body.key_file = body.file;
    body.key_place = body.file_place;
  }
  if (body.key_file.empty()) return;
  out.push_back(add_certificate(reader.draft(), std::move(body), false));
}

void read_certificate(Reader& reader, const Node& value, std::vector<std::size_t>& out) {
  CertificateBody body;
  reader.read_section(kCertificate, value, &body);
  add_certificate(reader, std::move(body), out);
}

void read_certificates(Reader& reader, const Key& key, const Node& value, void* object) {
  for (const Node* item : reader.items(key, value))
    read_certificate(reader, *item, static_cast<Tls*>(object)->certificates);
}

// ---- tickets ----

constexpr auto kTicketKeys = std::to_array<Key>({
    {.name = "rotate",
     .type = Type::duration,
     .read = field<&Tls::ticket_rotation>,
     .initial = "12h",
     .doc = "How long one key makes tickets, and how long a session may be resumed.",
     .min = kMinute,
     .max = 7 * kDay},
});
constexpr Section kTickets{"`session_tickets`", kTicketKeys, {}};

void read_tickets(Reader& reader, const Key& key, const Node& value, void* object) {
  Tls& tls = *static_cast<Tls*>(object);
  if (value.kind == NodeKind::scalar) {
    reader.read(key, value, tls.has_tickets);
  } else {
    reader.read_section(*key.section, value, &tls);
  }
}

constexpr std::array kVersions{"1.2"sv, "1.3"sv};

constexpr auto kTlsKeys = std::to_array<Key>({
    {.name = "min_version",
     .type = Type::choice,
     .read = field<&Tls::min_version>,
     .initial = "1.2",
     .doc = "Older clients are refused.",
     .choices = kVersions},
    {.name = "certificates",
     .type = Type::list,
     .read = read_certificates,
     .doc = "Certificates for the names that stand in them. With any, sites without `tls` and "
            "without a scheme have TLS. The first one is for clients that name no host, or one "
            "that nobody serves.",
     .section = &kCertificate},
    {.name = "strict_sni",
     .type = Type::boolean,
     .read = field<&Tls::is_strict>,
     .initial = "false",
     .doc = "Clients that name no host, or one that no certificate is for, are refused."},
    {.name = "ocsp",
     .type = Type::boolean,
     .read = field<&Tls::has_ocsp>,
     .initial = "true",
     .doc =
         "Responders that certificates name are asked, and what they say is shown to clients "
         "along with the certificate (stapling). It needs the issuer in the certificate's file."},
    {.name = "session_tickets",
     .type = Type::section,
     .read = read_tickets,
     .doc = "Clients come back with less work for both sides; the keys are in memory only. `off`: "
            "every connection begins anew.",
     .section = &kTickets,
     .also = kAlsoText},
});
constexpr Section kTls{"`tls`", kTlsKeys, {}};

// ---- of a site

struct SiteTlsBody {
  CertificateBody pair;
  std::vector<std::size_t> certificates;
  Place certificates_place;
  bool is_internal = false;
  std::string client_ca;
  Place client_ca_place;
  std::string client_crl;
  Place client_crl_place;
  bool is_optional = false;
  Place client_auth_place;
};

void read_site_certificates(Reader& reader, const Key& key, const Node& value, void* object) {
  SiteTlsBody& body = *static_cast<SiteTlsBody*>(object);
  body.certificates_place = value.place;
  const auto items = reader.items(key, value);
  if (items.empty()) reader.error(value.place, "`certificates` names none");
  for (const Node* item : items)
    read_certificate(reader, *item, body.certificates);
}

void read_client_ca(Reader& reader, const Key& key, const Node& value, void* object) {
  SiteTlsBody& body = *static_cast<SiteTlsBody*>(object);
  body.client_ca_place = value.place;
  if (auto path = reader.file(key, value)) body.client_ca = *std::move(path);
}

void read_client_crl(Reader& reader, const Key& key, const Node& value, void* object) {
  SiteTlsBody& body = *static_cast<SiteTlsBody*>(object);
  body.client_crl_place = value.place;
  if (auto path = reader.file(key, value)) body.client_crl = *std::move(path);
}

void read_client_auth(Reader& reader, const Key& key, const Node& value, void* object) {
  SiteTlsBody& body = *static_cast<SiteTlsBody*>(object);
  body.client_auth_place = value.place;
  if (const auto choice = reader.read_choice(key, value)) body.is_optional = *choice == 1;
}

constexpr std::array kClientAuths{"required"sv, "optional"sv};

constexpr auto kSiteTlsKeys = std::to_array<Key>({
    {.name = "cert",
     .type = Type::text,
     .read = member<read_cert, &SiteTlsBody::pair>,
     .doc = "PEM: the server's certificate, then those that lead to its authority. A relative path "
            "starts at the folder of this file. Read again when it changes."},
    {.name = "key",
     .type = Type::text,
     .read = member<read_key, &SiteTlsBody::pair>,
     .doc = "PEM: its private key, without a passphrase. Without this key: the same file."},
    {.name = "certificates",
     .type = Type::list,
     .read = read_site_certificates,
     .doc = "Instead of `cert` and `key`: several, one for each kind of key.",
     .section = &kCertificate},
    {.name = "internal",
     .type = Type::boolean,
     .read = field<&SiteTlsBody::is_internal>,
     .initial = "false",
     .doc = "A certificate of an authority of our own."},
    {.name = "client_ca",
     .type = Type::text,
     .read = read_client_ca,
     .doc = "PEM: the authorities whose certificates clients have to show (mutual TLS). Read again "
            "when it changes."},
    {.name = "client_crl",
     .type = Type::text,
     .read = read_client_crl,
     .doc = "PEM: the certificates that the authorities of `client_ca` have taken back (CRL), one "
            "list "
            "or several. Clients get in only while there is a list of the issuer of their "
            "certificate, and it has not ended. Read again when it changes."},
    {.name = "client_auth",
     .type = Type::choice,
     .read = read_client_auth,
     .initial = "required",
     .doc = "With `client_ca`: whether clients without a certificate are refused, or passed on as "
            "such. One that is not good is refused either way.",
     .choices = kClientAuths},
});
constexpr Section kSiteTls{"a site's `tls`", kSiteTlsKeys, {}};

void add_client_auth(Reader& reader, SiteTlsBody& body, TlsDraft& tls) {
  if (body.client_ca_place.line == 0) {
    if (body.client_auth_place.line > 0)
      reader.error(body.client_auth_place, "`client_auth` needs `client_ca`");
    if (body.client_crl_place.line > 0)
      reader.error(body.client_crl_place, "`client_crl` needs `client_ca`");
    return;
  }
  const bool has_list = body.client_crl_place.line > 0;
  if (body.client_ca.empty() || (has_list && body.client_crl.empty())) return;  // reported
  Draft& draft = reader.draft();
  std::vector<ClientAuthority>& all = draft.model.client_authorities;
  const auto [known, is_new] =
      draft.authority_files.emplace(body.client_ca + '\0' + body.client_crl, all.size());
  if (is_new) {
    all.push_back({std::move(body.client_ca), std::move(body.client_crl), nullptr, nullptr});
    draft.authority_places.push_back({body.client_ca_place, body.client_crl_place});
  }
  tls.client_auth = ClientAuth{known->second, {nullptr, !body.is_optional}};
}

void read_site_keys(Reader& reader, const Node& value, TlsDraft& tls) {
  SiteTlsBody body;
  reader.read_section(kSiteTls, value, &body);
  const bool has_pair = body.pair.file_place.line > 0;
  const bool has_list = body.certificates_place.line > 0;
  if (int{has_pair} + int{has_list} + int{body.is_internal} > 1) {
    reader.error(value.place, "`tls`: only one of `cert`, `certificates` and `internal` can hold");
  } else if (body.pair.key_place.line > 0 && !has_pair) {
    reader.error(body.pair.key_place, "`tls` needs the key `cert`");
  } else if (has_pair || has_list) {
    tls.source = SiteTls::own;
    tls.certificates = std::move(body.certificates);
    if (has_pair) add_certificate(reader, std::move(body.pair), tls.certificates);
  } else if (body.is_internal) {
    tls.source = SiteTls::internal;
  } else if (body.client_ca_place.line == 0 && body.client_auth_place.line == 0 &&
             body.client_crl_place.line == 0) {
    reader.error(value.place, "`tls` says nothing", "such as { cert: FILE, key: FILE }");
  }
  add_client_auth(reader, body, tls);
}

}  // namespace

void read_certificate_file(Reader& reader,
                           const Key& key,
                           const Node& value,
                           CertificateBody& body) {
  body.file_place = value.place;
  if (auto path = reader.file(key, value)) body.file = *std::move(path);
}

void read_key_file(Reader& reader, const Key& key, const Node& value, CertificateBody& body) {
  body.key_place = value.place;
  if (auto path = reader.file(key, value)) body.key_file = *std::move(path);
}

std::size_t add_certificate(Draft& draft, CertificateBody body, bool is_ours) {
  std::vector<Certificate>& all = draft.model.certificates;
  const auto [known, is_new] =
      draft.certificate_files.emplace(body.file + '\0' + body.key_file, all.size());
  if (is_new) {
    all.push_back({std::move(body.file), std::move(body.key_file), nullptr});
    draft.certificate_places.push_back({body.file_place, body.key_place, is_ours});
  } else if (!is_ours) {
    draft.certificate_places[known->second].is_ours = false;
  }
  return known->second;
}

void read_site_tls(Reader& reader, const Key& /*key*/, const Node& value, void* object) {
  TlsDraft& tls = *static_cast<TlsDraft*>(object);
  if (value.kind == NodeKind::scalar) {
    if (value.text == "off" || value.text == "false") {
      tls.is_off = true;
    } else if (value.text == "internal") {
      tls.source = SiteTls::internal;
    } else if (value.text == "auto") {
      reader.error(value.place,
                   "`tls`: automatic certificates come with a later version of Portunus",
                   "`internal`, or { cert: FILE, key: FILE }");
    } else {
      reader.error(value.place, "`tls`: `" + std::string(value.text) + "` is unknown",
                   "`off`, `internal`, or { cert: FILE, key: FILE }");
    }
    return;
  }
  if (value.kind != NodeKind::sequence) {
    read_site_keys(reader, value, tls);
    return;
  }
  tls.source = SiteTls::own;
  for (const Node* item : reader.items({.name = "tls"}, value))
    read_certificate(reader, *item, tls.certificates);
  if (tls.certificates.empty()) reader.error(value.place, "`tls` names no certificate");
}

const Section& tls_section() {
  return kTls;
}

const Section& site_tls_section() {
  return kSiteTls;
}

}  // namespace portunus::conf
