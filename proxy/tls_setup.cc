#include "proxy/tls_setup.h"

#include <algorithm>
#include <utility>

#include "net/cert_store.h"

namespace portunus::proxy {
namespace {

using Certificates = std::vector<net::SharedCertificate>;

Certificates those_at(const FileCertificates& files, const std::vector<std::size_t>& indexes) {
  Certificates out;
  for (const std::size_t each : indexes) {
    if (files[each] != nullptr) out.push_back(files[each]);
  }
  return out;
}

// The first one, and those of other kinds for the same names.
Certificates first_of(const Certificates& all) {
  Certificates out;
  for (const net::SharedCertificate& each : all) {
    const auto is_alike = [&](const net::SharedCertificate& known) {
      return known->kind() == each->kind();
    };
    if (!out.empty() && each->names() != out.front()->names()) continue;
    if (std::ranges::none_of(out, is_alike)) out.push_back(each);
  }
  return out;
}

Certificates of_site(const conf::Model& model, std::size_t index, const TlsSetup& setup) {
  const conf::Site& site = model.sites[index];
  if (site.tls == conf::SiteTls::own) return those_at(setup.files, site.certificates);
  if (site.tls == conf::SiteTls::internal && index < setup.internal.size() &&
      setup.internal[index] != nullptr)
    return {setup.internal[index]};
  return {};
}

net::SharedCertStore make_store(const conf::Model& model,
                                std::size_t listener,
                                const TlsSetup& setup) {
  const Certificates shared = those_at(setup.files, model.tls.certificates);
  // A site's own certificates are for its hosts alone, whatever else names them.
  net::CertStoreBuilder builder;
  for (const net::SharedCertificate& each : shared)
    builder.add(each);
  Certificates everybody = first_of(shared);
  for (std::size_t i = 0; i < model.sites.size(); ++i) {
    const conf::Site& site = model.sites[i];
    if (std::ranges::find(site.listeners, listener) == site.listeners.end()) continue;
    const Certificates own = of_site(model, i, setup);
    if (own.empty()) continue;
    if (everybody.empty()) everybody = own;
    for (const std::string& host : site.hosts) {
      if (host == "*") {
        everybody = own;
      } else {
        builder.replace(host, own);
      }
    }
  }
  builder.set_default(everybody);
  return builder.build();
}

// Null when no site there asks its clients for anything.
std::shared_ptr<const net::ClientRules> make_client_rules(const conf::Model& model,
                                                          std::size_t listener) {
  const auto is_there = [&](const conf::Site& site) {
    return std::ranges::find(site.listeners, listener) != site.listeners.end();
  };
  if (std::ranges::none_of(model.sites, [&](const conf::Site& site) {
        return site.client_auth.has_value() && is_there(site);
      })) {
    return nullptr;
  }
  auto rules = std::make_shared<net::ClientRules>();
  for (const conf::Site& site : model.sites) {
    if (!is_there(site)) continue;
    for (const std::string& host : site.hosts)
      rules->add(host, site.client_auth ? &site.client_auth->rule : nullptr);
  }
  return rules;
}

}  // namespace

bool has_authority(const conf::Model& model) {
  return std::ranges::any_of(model.sites,
                             [](const auto& each) { return each.tls == conf::SiteTls::internal; });
}

FileCertificates loaded_certificates(std::span<const conf::Certificate> certificates) {
  FileCertificates out;
  out.reserve(certificates.size());
  for (const conf::Certificate& each : certificates)
    out.push_back(each.loaded);
  return out;
}

std::expected<SharedTlsSetup, std::string> make_tls_setup(
    const conf::Model& model,
    FileCertificates files,
    InternalCertificates internal,
    const std::shared_ptr<const net::TicketKeys>& tickets) {
  auto setup = std::make_shared<TlsSetup>();
  setup->files = std::move(files);
  setup->internal = std::move(internal);
  setup->contexts.resize(model.listeners.size());
  for (std::size_t i = 0; i < setup->contexts.size(); ++i) {
    const conf::Listener& listener = model.listeners[i];
    if (!listener.is_tls) continue;
    net::TlsServerSettings settings;
    settings.min_version = model.tls.min_version == conf::TlsVersion::v1_3 ? net::TlsVersion::v1_3
                                                                           : net::TlsVersion::v1_2;
    settings.offers_h1 = listener.offers_h1;
    settings.offers_h2 = listener.offers_h2;
    settings.is_strict = model.tls.is_strict;
    settings.certificates = make_store(model, i, *setup);
    settings.clients = make_client_rules(model, i);
    if (model.tls.has_tickets) settings.tickets = tickets;
    settings.ticket_lifetime_s =
        static_cast<std::uint32_t>(model.tls.ticket_rotation.count() / 1000);
    auto made = net::TlsContext::make_server(std::move(settings));
    if (!made) return std::unexpected("listener " + listener.name + ": " + made.error());
    setup->contexts[i] = *std::move(made);
  }
  return setup;
}

}  // namespace portunus::proxy
