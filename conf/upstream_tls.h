// TLS with the members of a pool, as its `tls` says. Part of the model (model_pools.h).
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "net/trust_store.h"

namespace portunus::conf {

struct UpstreamTls {
  std::string server_name;  // for SNI and verification; empty: the host of each member
  std::string ca_file;      // whose certificates are believed; empty: the system's
  bool verifies = true;
  std::optional<std::size_t> certificate;  // our own: index into Model::certificates
  // What ca_file holds. Null when nothing is verified, or as Certificate::loaded may be: then no
  // member is believed.
  net::SharedTrust trust;
  friend bool operator==(const UpstreamTls&, const UpstreamTls&) = default;
};

}  // namespace portunus::conf
