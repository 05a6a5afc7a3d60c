// Makes the TLS contexts of a configuration's listeners: which certificates are for which names there.
// Any thread.
#pragma once

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "conf/model.h"
#include "net/certificate.h"
#include "net/ticket_keys.h"
#include "net/tls_context.h"

namespace portunus::proxy {

// By index of Model::sites: the certificate of our own authority, for those with `tls: internal`.
using InternalCertificates = std::vector<net::SharedCertificate>;
// By index of Model::certificates; null: it could not be read, and is left out.
using FileCertificates = std::vector<net::SharedCertificate>;

// What the listeners of a generation show to clients. Immutable, shared by all threads. Certificates
// whose files have changed come as a new one beside the generation, which goes on.
struct TlsSetup {
  FileCertificates files;
  InternalCertificates internal;          // may be shorter than there are sites: theirs are missing
  std::vector<net::TlsContext> contexts;  // by listener index; those not set are in the clear
};
using SharedTlsSetup = std::shared_ptr<const TlsSetup>;

[[nodiscard]] FileCertificates loaded_certificates(std::span<const conf::Certificate> certificates);

// Whether a site has `tls: internal`.
[[nodiscard]] bool has_authority(const conf::Model& model);

// The error is one line.
[[nodiscard]] std::expected<SharedTlsSetup, std::string> make_tls_setup(
    const conf::Model& model,
    FileCertificates files,
    InternalCertificates internal,
    const std::shared_ptr<const net::TicketKeys>& tickets);

}  // namespace portunus::proxy
