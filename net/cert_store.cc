#include "net/cert_store.h"

#include <algorithm>
#include <utility>

namespace portunus::net {

CertStore::Set CertStore::find_or_default(std::string_view host) const {
  const Set set = find(host);
  return set == kNone ? default_ : set;
}

CertStoreBuilder::CertStoreBuilder() : store_(std::make_shared<CertStore>()) {}

void CertStoreBuilder::put(Certificates& certificates, const SharedCertificate& fresh) {
  for (SharedCertificate& each : certificates) {
    if (each->kind() != fresh->kind()) continue;
    if (each->not_after() < fresh->not_after()) each = fresh;
    return;
  }
  certificates.push_back(fresh);
}

void CertStoreBuilder::add(std::string_view name, const SharedCertificate& certificate) {
  put(name == "*" ? default_ : names_[std::string(name)], certificate);
}

void CertStoreBuilder::add(const SharedCertificate& certificate) {
  for (const std::string& name : certificate->names())
    add(name, certificate);
}

void CertStoreBuilder::replace(std::string_view name,
                               std::span<const SharedCertificate> certificates) {
  names_[std::string(name)].assign(certificates.begin(), certificates.end());
}

void CertStoreBuilder::set_default(std::span<const SharedCertificate> certificates) {
  default_.assign(certificates.begin(), certificates.end());
}

CertStore::Set CertStoreBuilder::set_of(const Certificates& certificates) {
  Certificates sorted = certificates;
  std::ranges::sort(sorted, {}, &Certificate::kind);
  std::string key;
  std::string speakers;
  for (const SharedCertificate& each : sorted) {
    speakers += each->fingerprint();
    key += each->fingerprint() + ' ' + std::to_string(each->content_hash()) + '\n';
  }
  const auto [known, is_new] =
      sets_.emplace(std::move(key), static_cast<CertStore::Set>(store_->sets_.size()));
  if (is_new) {
    const auto next = static_cast<std::uint32_t>(speakers_.size());
    store_->speakers_.push_back(speakers_.emplace(std::move(speakers), next).first->second);
    store_->sets_.push_back(std::move(sorted));
  }
  return known->second;
}

SharedCertStore CertStoreBuilder::build() {
  if (!default_.empty()) store_->default_ = set_of(default_);
  store_->names_.reserve(names_.size());
  for (const auto& [name, certificates] : names_)
    store_->names_.add(name, set_of(certificates));
  return std::exchange(store_, nullptr);
}

}  // namespace portunus::net
