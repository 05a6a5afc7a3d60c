#include "proxy/load_job.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "conf/load_certificates.h"
#include "proxy/tls_setup.h"

namespace portunus::proxy {
namespace {

// What members are shown is part of what their pools are, and comes with a generation.
bool is_for_members(const conf::Model& model, std::size_t certificate) {
  return std::ranges::any_of(model.pools, [&](const conf::Pool& pool) {
    return pool.tls && pool.tls->certificate == certificate;
  });
}

bool is_same(const net::SharedCertificate& known, const net::SharedCertificate& other) {
  return known == other || (known != nullptr && known->content_hash() == other->content_hash());
}

}  // namespace

bool Control::LoadJob::has_known_text() const {
  return !known_files.empty() && conf::hash_of_files(known_files) == known_hash;
}

std::vector<net::CertificateFiles> Control::LoadJob::running_files() const {
  std::vector<net::CertificateFiles> files;
  files.reserve(running->model->certificates.size());
  for (const conf::Certificate& each : running->model->certificates)
    files.push_back({each.file, each.key_file});
  return files;
}

// What is shown has to be what the cache holds at the end of this, however often files change
// meanwhile: what they hold then comes with the event of that change.
void Control::LoadJob::work_off() {
  if (!running) {
    load();
    return;
  }
  renew_revocations();
  const bool is_known = has_known_text();
  if (!is_known) certificates->retain(running_files());
  // Of ten thousand, to ask for each takes longer than all the rest of an exchange.
  const bool has_changed = (is_known && !changed.may_be_any ? certificates->refresh(changed.files)
                                                            : certificates->refresh()) > 0;
  if (is_known) {
    const bool is_all = renew_certificates();
    // Those that clients and members are known by belong to the generation, and what has been refused
    // may be right by now.
    const bool needs_load =
        !certificates->are_authorities_current() || !certificates->is_trust_current() ||
        (has_changed && !is_running_on_known) || ((has_changed || fresh_tls) && !is_all);
    if (is_let_be || !needs_load) return;
  }
  load();
  static_cast<void>(renew_certificates());
}

void Control::LoadJob::load() {
  is_loaded = true;
  loaded = conf::load_file(
      file,
      {.keeps_copy = keeps_copy, .certificates = certificates, .is_for_root = ::geteuid() == 0});
  if (!loaded.model) return;
  routes = RouteTable::build(*loaded.model);
  names = resolve_members(*loaded.model);
}

// Whatever the configuration says by now, who has been revoked is not to get in.
void Control::LoadJob::renew_revocations() {
  std::vector<net::FreshRevocations> used;
  for (const conf::ClientAuthority& each : running->model->client_authorities) {
    if (each.loaded != nullptr && !each.crl_file.empty())
      used.push_back({each.loaded, each.file, each.crl_file, nullptr, {}});
  }
  fresh_revocations = certificates->fresh_revocations(used);
}

// From what has been read. One that cannot be read stays what it was. False when a whole load should
// say what is wrong, or brings what a generation alone can.
bool Control::LoadJob::renew_certificates() {
  bool is_all = true;
  bool is_changed = false;
  fresh_tls.reset();
  const std::vector<net::LoadedCertificate> read = certificates->known(running_files());
  std::vector<conf::Certificate> named = running->model->certificates;
  FileCertificates files = tls->files;
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (read[i].certificate == nullptr) {
      is_all = false;
    } else if (!is_same(files[i], read[i].certificate)) {
      is_changed = true;
      files[i] = read[i].certificate;
      is_all = is_all && !is_for_members(*running->model, i);
    }
    named[i].loaded = files[i];
  }
  if (!is_changed) return is_all;
  auto setup = make_tls_setup(*running->model, std::move(files), tls->internal, tickets);
  if (!setup) return false;
  fresh_tls = *std::move(setup);
  fresh_hash =
      conf::certificates_hash(named, running->model->pools, running->model->client_authorities);
  return is_all;
}

}  // namespace portunus::proxy
