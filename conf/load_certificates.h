// Reads the certificates that a configuration names, and says what is wrong or doubtful about them at
// the places where they are named. Part of one load.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "conf/draft.h"
#include "conf/source.h"

namespace portunus::net {
class CertificateCache;
}

namespace portunus::conf {

// `cache` may be null. Lenient: what cannot be read is a warning, and left out.
void load_certificates(Draft& draft, Report& report, net::CertificateCache* cache, bool is_lenient);

// Certificates and keys, each once.
[[nodiscard]] std::vector<std::string> certificate_files(const Model& model);
// Of those that are loaded, and of the authorities of pools and clients, 16 hexadecimal digits.
[[nodiscard]] std::string certificates_hash(std::span<const Certificate> certificates,
                                            std::span<const Pool> pools,
                                            std::span<const ClientAuthority> authorities);

}  // namespace portunus::conf
