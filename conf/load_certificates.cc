#include "conf/load_certificates.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <string>
#include <unordered_map>
#include <utility>

#include "conf/diagnostic.h"
#include "net/certificate_cache.h"

namespace portunus::conf {
namespace {

constexpr std::string_view kSystemTrust = "the system's certificates of authorities";
constexpr std::int64_t kSoon = std::int64_t{7} * 24 * 3600;

std::string date_of(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  std::array<char, 32> text{};
  if (::gmtime_r(&time, &parts) == nullptr) return "?";
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
  return {text.data(), size};
}

void report_doubts(const Certificate& named,
                   const net::LoadedCertificate& loaded,
                   const CertificatePlace& place,
                   Report& report) {
  const net::Certificate& certificate = *loaded.certificate;
  const std::int64_t now = std::time(nullptr);
  const std::string name = "the certificate " + named.file;
  if (certificate.not_after() <= now) {
    report.warning(place.file, name + " has expired: " + date_of(certificate.not_after()),
                   place.is_ours ? "members refuse it" : "clients refuse it");
  } else if (certificate.not_after() <= now + kSoon) {
    report.warning(place.file, name + " expires soon: " + date_of(certificate.not_after()));
  }
  if (certificate.not_before() > now) {
    report.warning(place.file, name + " is not valid before " + date_of(certificate.not_before()));
  }
  if (certificate.chain_size() == 0 && !certificate.is_self_signed() && !place.is_ours) {
    report.warning(place.file, name + " comes without its chain",
                   "clients that do not know its issuer refuse it: append the certificate of " +
                       certificate.issuer());
  }
  if (certificate.names().empty() && !place.is_ours) {
    report.warning(place.file, name + " names no host (subjectAltName)", "clients refuse it");
  }
  if (loaded.is_key_for_all) {
    report.warning(place.key_file, "everybody on this machine may read the key " + named.key_file,
                   "chmod o-r");
  }
}

// The file of a pool's authorities; empty when the system has none.
std::string trust_file(const UpstreamTls& tls) {
  return tls.ca_file.empty() ? net::system_trust_file() : tls.ca_file;
}

using TrustByFile = std::unordered_map<std::string, net::LoadedTrust>;

TrustByFile read_trust(const Draft& draft, net::CertificateCache& cache) {
  std::vector<std::string> files;
  for (const Pool& pool : draft.model.pools) {
    if (pool.tls && pool.tls->verifies) files.push_back(trust_file(*pool.tls));
  }
  std::ranges::sort(files);
  files.erase(std::ranges::unique(files).begin(), files.end());
  std::erase(files, "");
  std::vector<net::LoadedTrust> loaded = cache.load_trust(files);
  TrustByFile out;
  for (std::size_t i = 0; i < files.size(); ++i)
    out.emplace(files[i], std::move(loaded[i]));
  out[""].error = "none of the usual files is there";
  return out;
}

void load_trust(Draft& draft, Report& report, net::CertificateCache& cache, bool is_lenient) {
  const TrustByFile known = read_trust(draft, cache);
  for (Pool& pool : draft.model.pools) {
    if (pool.tls && pool.tls->verifies) pool.tls->trust = known.at(trust_file(*pool.tls)).trust;
  }
  for (const auto& [ca_file, place] : draft.trust_places) {
    const std::string file = ca_file.empty() ? net::system_trust_file() : ca_file;
    const auto loaded = known.find(file);
    if (loaded == known.end() || loaded->second.error.empty()) continue;
    std::string what = ca_file.empty() ? std::string(kSystemTrust) : "the authorities";
    if (!file.empty()) what.append(" in ").append(file);
    what.append(": ").append(loaded->second.error);
    if (is_lenient) {
      report.warning(place, std::move(what), "no member of the pool is believed for now");
    } else {
      report.error(place, std::move(what),
                   ca_file.empty() ? "install ca-certificates, or name a `ca_file`" : "");
    }
  }
}

void report_doubts(const ClientAuthority& named, Place place, Report& report) {
  const net::RevocationList* list = named.revocations.get();
  if (list == nullptr && named.loaded != nullptr) list = named.loaded->revocations();
  if (list == nullptr) return;
  const std::int64_t now = std::time(nullptr);
  const std::string what = "the revoked certificates " + named.crl_file;
  const std::string end = date_of(list->next_update());
  if (list->next_update() <= now) {
    report.warning(place, what + ": the list has ended: " + end,
                   "clients of its authority are refused until there is a newer one");
  } else if (list->due() <= now) {
    report.warning(place, what + ": the list ends soon: " + end,
                   "from then on clients of its authority are refused");
  }
}

void load_authorities(Draft& draft, Report& report, net::CertificateCache& cache, bool is_lenient) {
  std::vector<ClientAuthority>& named = draft.model.client_authorities;
  std::vector<net::ClientAuthorityFiles> files;
  files.reserve(named.size());
  for (const ClientAuthority& each : named)
    files.push_back({each.file, each.crl_file});
  auto loaded = cache.load_authorities(files);
  for (std::size_t i = 0; i < named.size(); ++i) {
    const bool is_list = loaded[i].is_revocations_fault;
    const Place place =
        is_list ? draft.authority_places[i].crl_file : draft.authority_places[i].file;
    const std::string what = is_list ? "the revoked certificates " + named[i].crl_file
                                     : "the authorities " + named[i].file;
    named[i].loaded = std::move(loaded[i].authority);
    named[i].revocations = std::move(loaded[i].revocations);
    if (named[i].loaded == nullptr && is_lenient) {
      report.warning(place, what + ": " + loaded[i].error, "no client of the site gets in for now");
    } else if (named[i].loaded == nullptr) {
      report.error(place, what + ": " + loaded[i].error);
    } else if (named[i].loaded->not_after() <= std::time(nullptr)) {
      report.warning(place, what + ": one has expired: " + date_of(named[i].loaded->not_after()),
                     "certificates that it has signed are refused");
    }
    report_doubts(named[i], draft.authority_places[i].crl_file, report);
  }
  for (Site& site : draft.model.sites) {
    if (site.client_auth)
      site.client_auth->rule.authority = named[site.client_auth->authority].loaded;
  }
}

}  // namespace

void load_certificates(Draft& draft,
                       Report& report,
                       net::CertificateCache* cache,
                       bool is_lenient) {
  net::CertificateCache own;
  if (cache == nullptr) cache = &own;
  load_authorities(draft, report, *cache, is_lenient);
  std::vector<Certificate>& named = draft.model.certificates;
  std::vector<net::CertificateFiles> files;
  files.reserve(named.size());
  for (const Certificate& each : named)
    files.push_back({each.file, each.key_file});
  load_trust(draft, report, *cache, is_lenient);
  auto loaded = cache->load(files);
  for (std::size_t i = 0; i < named.size(); ++i) {
    const CertificatePlace& place = draft.certificate_places[i];
    if (loaded[i].certificate != nullptr) {
      report_doubts(named[i], loaded[i], place, report);
      named[i].loaded = std::move(loaded[i].certificate);
      continue;
    }
    const bool is_key = loaded[i].is_key_at_fault;
    const std::string what =
        is_key ? "the key " + named[i].key_file : "the certificate " + named[i].file;
    if (is_lenient) {
      report.warning(place.file, what + ": " + loaded[i].error, "left out for now");
    } else {
      report.error(is_key ? place.key_file : place.file, what + ": " + loaded[i].error);
    }
  }
}

std::vector<std::string> certificate_files(const Model& model) {
  std::vector<std::string> files;
  for (const Certificate& each : model.certificates) {
    files.push_back(each.file);
    files.push_back(each.key_file);
  }
  for (const Pool& pool : model.pools) {
    if (pool.tls && pool.tls->verifies) files.push_back(trust_file(*pool.tls));
  }
  std::erase(files, "");
  for (const ClientAuthority& each : model.client_authorities) {
    files.push_back(each.file);
    if (!each.crl_file.empty()) files.push_back(each.crl_file);
  }
  std::ranges::sort(files);
  files.erase(std::ranges::unique(files).begin(), files.end());
  return files;
}

std::string certificates_hash(std::span<const Certificate> certificates,
                              std::span<const Pool> pools,
                              std::span<const ClientAuthority> authorities) {
  Sources all;
  for (const Certificate& each : certificates)
    all.add(each.file, each.loaded == nullptr ? "" : std::to_string(each.loaded->content_hash()));
  for (const Pool& pool : pools) {
    if (!pool.tls || pool.tls->trust == nullptr) continue;
    all.add(trust_file(*pool.tls), std::to_string(pool.tls->trust->content_hash()));
  }
  // Lists of revoked certificates are exchanged without a generation.
  for (const ClientAuthority& each : authorities)
    all.add(each.file, each.loaded == nullptr ? "" : each.loaded->fingerprint());
  return all.hash();
}

}  // namespace portunus::conf
