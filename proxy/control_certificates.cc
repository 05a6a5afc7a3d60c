// Certificates whose files have changed while the configuration is the same: read again, and shown to
// whoever connects from then on. The generation, its connections and pools stay as they are.
#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "conf/load_certificates.h"
#include "proxy/control.h"
#include "proxy/load_job.h"
#include "supervisor/paths.h"

namespace portunus::proxy {

namespace {

// What members are shown is part of what their pools are, and comes with a generation.
bool is_for_members(const conf::Model& model, std::size_t certificate) {
  return std::ranges::any_of(model.pools, [&](const conf::Pool& pool) {
    return pool.tls && pool.tls->certificate == certificate;
  });
}

}  // namespace

// On a thread of the pool. Nothing comes of it when one of them cannot be read, or when it concerns
// members: a whole load then says what is wrong, and where it is named.
void Control::LoadJob::read_certificates_again() {
  // Those that clients are known by belong to the generation: what its routes ask for.
  if (!certificates->are_authorities_current()) return;
  std::vector<conf::Certificate> named = running->model->certificates;
  std::vector<net::CertificateFiles> files;
  files.reserve(named.size());
  for (const conf::Certificate& each : named)
    files.push_back({each.file, each.key_file});
  std::vector<net::LoadedCertificate> read = certificates->load(files);
  if (!certificates->is_trust_current()) return;
  is_unchanged = certificates->read_count() == 0;
  if (is_unchanged) return;
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (read[i].certificate == nullptr) return;
    if (read[i].certificate != named[i].loaded && is_for_members(*running->model, i)) return;
    named[i].loaded = std::move(read[i].certificate);
  }
  auto setup = make_tls_setup(*running->model, loaded_certificates(named), tls->internal, tickets);
  if (!setup) return;
  fresh_tls = *std::move(setup);
  fresh_hash =
      conf::certificates_hash(named, running->model->pools, running->model->client_authorities);
}

// New certificates in the files that are known already: the generation goes on with them.
void Control::swap_certificates(LoadJob& job) {
  if (job.fresh_hash == seen_certificates_) return;  // touched, and the same
  const SharedTlsSetup old = std::exchange(tls_setup_, std::move(job.fresh_tls));
  seen_certificates_ = job.fresh_hash;
  for (const auto& worker : workers_)
    worker->swap_tls(tls_setup_, current_->number);
  std::size_t count = 0;
  for (std::size_t i = 0; i < old->files.size(); ++i) {
    if (old->files[i] != tls_setup_->files[i]) ++count;
  }
  base::log(base::LogLevel::info, "tls", "{} of {} certificates read again in {:.3f} s", count,
            tls_setup_->files.size(),
            static_cast<double>(base::monotonic_ns() - reload_began_ns_) / 1e9);
}

std::string Control::tls_folder(const conf::Model& model) const {
  return supervisor::tls_folder(options_.state.empty()
                                    ? supervisor::state_folder(model.state, options_.config_file)
                                    : options_.state);
}

}  // namespace portunus::proxy
