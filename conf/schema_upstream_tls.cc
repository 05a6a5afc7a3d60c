// TLS with members: a pool's `tls`.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tls_reader.h"
#include "conf/tree.h"
#include "net/address.h"

namespace portunus::conf {
namespace {

// `tls` while it is read.
struct UpstreamTlsBody {
  UpstreamTls tls;
  CertificateBody certificate;
  Place ca_place;      // line 0 = not given
  Place name_place;    // the same
  Place verify_place;  // the same
};

bool is_server_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return !name.empty() && name.size() <= 253 && name.front() != '.' && name.front() != '-' &&
         name.find("..") == std::string_view::npos && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

void read_server_name(Reader& reader, const Key& key, const Node& value, void* object) {
  UpstreamTlsBody& body = *static_cast<UpstreamTlsBody*>(object);
  body.name_place = value.place;
  const auto text = reader.text(key, value);
  if (!text) return;
  if (!is_server_name(*text) && !net::Address::parse_ip(*text, 0)) {
    reader.error(value.place,
                 "`server_name`: `" + std::string(*text) + "` is neither a name nor an IP address",
                 "such as app.internal, without a port");
    return;
  }
  body.tls.server_name = *text;
}

void read_ca_file(Reader& reader, const Key& key, const Node& value, void* object) {
  UpstreamTlsBody& body = *static_cast<UpstreamTlsBody*>(object);
  body.ca_place = value.place;
  if (auto path = reader.file(key, value)) body.tls.ca_file = *std::move(path);
}

void read_verify(Reader& reader, const Key& key, const Node& value, void* object) {
  UpstreamTlsBody& body = *static_cast<UpstreamTlsBody*>(object);
  body.verify_place = value.place;
  reader.read(key, value, body.tls.verifies);
}

void read_own_cert(Reader& reader, const Key& key, const Node& value, void* object) {
  read_certificate_file(reader, key, value, static_cast<UpstreamTlsBody*>(object)->certificate);
}

void read_own_key(Reader& reader, const Key& key, const Node& value, void* object) {
  read_key_file(reader, key, value, static_cast<UpstreamTlsBody*>(object)->certificate);
}

constexpr auto kUpstreamTlsKeys = std::to_array<Key>({
    {.name = "server_name",
     .type = Type::text,
     .read = read_server_name,
     .doc =
         "The name that members' certificates must be for (in subjectAltName), and that they are "
         "asked for by SNI; an IP address is verified and not sent. Without this key: the host "
         "of each upstream, as it is written."},
    {.name = "ca_file",
     .type = Type::text,
     .read = read_ca_file,
     .doc = "PEM: the authorities that members' certificates must come from, and no others. A "
            "relative path starts at the folder of this file. Without this key: those that the "
            "system trusts. Read again when it changes."},
    {.name = "verify",
     .type = Type::boolean,
     .read = read_verify,
     .initial = "true",
     .doc =
         "Whether chain and name of members' certificates are verified. `false`: whoever answers "
         "is believed; for tests."},
    {.name = "cert",
     .type = Type::text,
     .read = read_own_cert,
     .doc =
         "PEM: our own certificate, for members that ask for one, and its chain. Read again when "
         "it changes."},
    {.name = "key",
     .type = Type::text,
     .read = read_own_key,
     .doc =
         "PEM: its private key, without a passphrase. Without this key: the same file as `cert`."},
});
constexpr Section kUpstreamTls{"`tls` of a pool", kUpstreamTlsKeys, {}};

// What one key says about another.
void check(Reader& reader, const UpstreamTlsBody& body) {
  if (body.certificate.key_place.line != 0 && body.certificate.file_place.line == 0)
    reader.error(body.certificate.key_place, "`key` without `cert`");
  if (body.tls.verifies) return;
  reader.warning(body.verify_place,
                 "`verify: false`: whoever answers is taken for a member of the pool",
                 "for a private authority there is `ca_file`");
  if (body.ca_place.line != 0)
    reader.warning(body.ca_place, "`ca_file` has no meaning with `verify: false`");
}

}  // namespace

const Section& upstream_tls_section() {
  return kUpstreamTls;
}

void read_upstream_tls(Reader& reader, const Key& key, const Node& value, Pool& pool) {
  UpstreamTlsBody body;
  if (value.kind == NodeKind::scalar) {
    bool is_on = false;
    reader.read(key, value, is_on);
    if (!is_on) return;
  } else {
    reader.read_section(*key.section, value, &body);
    check(reader, body);
  }
  if (!body.certificate.file.empty()) {
    if (body.certificate.key_place.line == 0) {
      body.certificate.key_file = body.certificate.file;
      body.certificate.key_place = body.certificate.file_place;
    }
    if (!body.certificate.key_file.empty())
      body.tls.certificate = add_certificate(reader.draft(), std::move(body.certificate), true);
  }
  if (body.tls.verifies) {
    reader.draft().trust_places.emplace(body.tls.ca_file,
                                        body.ca_place.line != 0 ? body.ca_place : value.place);
  }
  pool.tls = std::move(body.tls);
}

}  // namespace portunus::conf
