#include "proxy/tls_members.h"

#include <string_view>
#include <unordered_map>
#include <utility>

namespace portunus::proxy {
namespace {

net::TlsClientSettings settings_of(const conf::Model& model,
                                   const conf::UpstreamTls& wanted,
                                   conf::UpstreamProtocol protocol) {
  net::TlsClientSettings settings;
  settings.offers_h2 = protocol == conf::UpstreamProtocol::h2;
  settings.offers_h1 = !settings.offers_h2;
  settings.server_name = wanted.server_name;
  settings.verifies = wanted.verifies;
  settings.trust = wanted.trust;
  if (wanted.certificate) settings.certificate = model.certificates[*wanted.certificate].loaded;
  return settings;
}

std::unordered_map<std::string_view, net::SharedTlsClient> by_pool(const Generation& generation) {
  std::unordered_map<std::string_view, net::SharedTlsClient> known;
  for (std::size_t i = 0; i < generation.upstream_tls.size(); ++i) {
    if (generation.upstream_tls[i] != nullptr)
      known.emplace(generation.model->pools[i].name, generation.upstream_tls[i]);
  }
  return known;
}

}  // namespace

std::expected<std::vector<net::SharedTlsClient>, std::string> make_upstream_tls(
    const conf::Model& model, const Generation* previous) {
  std::unordered_map<std::string_view, net::SharedTlsClient> known;
  if (previous != nullptr) known = by_pool(*previous);
  std::vector<net::SharedTlsClient> out(model.pools.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const conf::Pool& pool = model.pools[i];
    if (!pool.tls) continue;
    net::TlsClientSettings settings = settings_of(model, *pool.tls, pool.protocol);
    const auto before = known.find(pool.name);
    if (before != known.end() && net::is_same(before->second->settings(), settings)) {
      out[i] = before->second;
      continue;
    }
    auto made = net::TlsClient::make(std::move(settings));
    if (!made) return std::unexpected("pool " + pool.name + ": " + made.error());
    out[i] = *std::move(made);
  }
  return out;
}

void probe_over_tls(const Generation& generation, std::span<health::ProbeTarget> targets) {
  const auto known = by_pool(generation);
  if (known.empty()) return;
  for (health::ProbeTarget& target : targets) {
    const auto place = known.find(target.member->pool);
    if (place == known.end()) continue;
    target.settings.tls = {place->second, std::string(net::host_of(target.member->name))};
  }
}

}  // namespace portunus::proxy
