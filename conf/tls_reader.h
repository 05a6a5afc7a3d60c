// What reading a site or a pool needs from reading TLS. Part of the schema; on the stack of one load.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/schema.h"

namespace portunus::conf {

// What a site's `tls` says.
struct TlsDraft {
  bool is_off = false;
  SiteTls source = SiteTls::common;
  std::vector<std::size_t> certificates;  // indexes into Model::certificates
  std::optional<ClientAuth> client_auth;
};

// Two PEM files and where they are named.
struct CertificateBody {
  std::string file;  // empty: reported, or not given
  Place file_place;
  std::string key_file;  // may be the same
  Place key_place;
};

// The values of `cert` and `key`.
void read_certificate_file(Reader& reader,
                           const Key& key,
                           const Node& value,
                           CertificateBody& body);
void read_key_file(Reader& reader, const Key& key, const Node& value, CertificateBody& body);

// Its index in Model::certificates: each pair stands there once. `is_ours`: for members.
std::size_t add_certificate(Draft& draft, CertificateBody body, bool is_ours);

}  // namespace portunus::conf
