#include "proxy/tls_keeper.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "supervisor/paths.h"

namespace portunus::proxy {
namespace {

using base::LogLevel;

// Of the machine, when a certificate could have it.
std::string machine_name() {
  std::array<char, 254> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  std::string text = name.data();
  const bool is_good = !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
  return is_good ? text : "";
}

// What clients may call a site by; sorted. A site for any host is one for this machine.
std::vector<std::string> names_of(const conf::Model& model, const conf::Site& site) {
  std::vector<std::string> names;
  for (const std::string& host : site.hosts) {
    if (host != "*") {
      const bool is_bracketed = host.starts_with('[');
      names.push_back(is_bracketed ? host.substr(1, host.size() - 2) : host);
      continue;
    }
    for (const char* each : {"localhost", "127.0.0.1", "::1"})
      names.emplace_back(each);
    if (std::string machine = machine_name(); !machine.empty()) names.push_back(std::move(machine));
    for (const std::size_t listener : site.listeners) {
      const std::string& address = model.listeners[listener].address.host;
      if (!address.empty()) names.push_back(address);
    }
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

}  // namespace

TlsKeeper::TlsKeeper(net::Loop& loop, net::TicketKeys& tickets)
    : loop_(loop),
      tickets_(tickets),
      rotation_(this, [](void* self) { static_cast<TlsKeeper*>(self)->rotate(); }) {}

std::expected<net::SharedCertificate, std::string> TlsKeeper::make(
    std::optional<net::PrivateAuthority>& authority,
    const std::string& folder,
    const std::vector<std::string>& names) {
  if (!authority) {
    if (const auto made = supervisor::make_folder(folder); !made)
      return std::unexpected(made.error());
    auto opened = net::PrivateAuthority::open(folder);
    if (!opened) return std::unexpected(opened.error());
    authority = *std::move(opened);
    if (std::exchange(root_file_, authority->root_file()) != authority->root_file()) {
      base::log(LogLevel::info, "tls",
                "sites with `tls: internal`: clients that trust {} trust them", root_file_);
    }
  }
  return authority->certificate_for(names);
}

std::expected<InternalCertificates, std::string> TlsKeeper::internal(const conf::Model& model,
                                                                     const std::string& folder) {
  InternalCertificates out(model.sites.size());
  std::unordered_map<std::string, net::SharedCertificate> wanted;
  std::optional<net::PrivateAuthority> authority;  // opened when there is something to make
  for (std::size_t i = 0; i < model.sites.size(); ++i) {
    if (model.sites[i].tls != conf::SiteTls::internal) continue;
    const std::vector<std::string> names = names_of(model, model.sites[i]);
    std::string key;
    for (const std::string& name : names)
      key += name + '\n';
    net::SharedCertificate& place = wanted[key];
    if (place == nullptr) {
      const auto known = internal_.find(key);
      if (known != internal_.end() && !net::is_due(*known->second)) place = known->second;
    }
    if (place == nullptr) {
      auto made = make(authority, folder, names);
      if (!made) return std::unexpected("tls: internal: " + made.error());
      place = *std::move(made);
    }
    out[i] = place;
  }
  next_ = std::move(wanted);
  return out;
}

void TlsKeeper::note(const conf::Model& model) {
  internal_ = next_;
  const bool is_used =
      model.tls.has_tickets &&
      std::ranges::any_of(model.listeners, [](const auto& each) { return each.is_tls; });
  const auto wanted =
      is_used ? static_cast<std::uint64_t>(model.tls.ticket_rotation.count()) : std::uint64_t{0};
  if (wanted == rotation_ms_) return;
  rotation_ms_ = wanted;
  rotation_.disarm();
  if (wanted > 0) loop_.timers().arm(rotation_, wanted);
}

void TlsKeeper::rotate() {
  if (!tickets_.rotate()) base::log(LogLevel::error, "tls", "no new key for session tickets");
  loop_.timers().arm(rotation_, rotation_ms_);
}

std::vector<net::SharedCertificate> TlsKeeper::made() const {
  std::vector<net::SharedCertificate> out;
  out.reserve(internal_.size());
  for (const auto& [names, certificate] : internal_)
    out.push_back(certificate);
  std::ranges::sort(out, {}, &net::Certificate::names);
  return out;
}

bool TlsKeeper::is_renewal_due() const {
  return std::ranges::any_of(internal_, [](const auto& each) { return net::is_due(*each.second); });
}

}  // namespace portunus::proxy
