// Certificates that are renewed: shown to whoever connects from then on. The generation, its
// connections and pools stay as they are, and what the files of the configuration say by now is no
// reason to wait.
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/control.h"
#include "proxy/load_job.h"
#include "supervisor/paths.h"

namespace portunus::proxy {

using base::LogLevel;

void Control::show_certificates(SharedTlsSetup setup) {
  tls_setup_ = std::move(setup);
  for (const auto& worker : workers_)
    worker->swap_tls(tls_setup_, current_->number);
  keep_staples();
}

// Those that clients are shown, and no others.
void Control::keep_staples() {
  const conf::Model& model = *current_->model;
  const bool is_used =
      model.tls.has_ocsp &&
      std::ranges::any_of(model.listeners, [](const auto& each) { return each.is_tls; });
  std::vector<net::SharedCertificate> shown;
  const auto add = [&](const std::vector<std::size_t>& indexes) {
    for (const std::size_t each : indexes)
      shown.push_back(tls_setup_->files[each]);
  };
  if (is_used) {
    add(model.tls.certificates);
    for (const conf::Site& site : model.sites)
      add(site.certificates);
  }
  std::ranges::sort(shown);
  shown.erase(std::ranges::unique(shown).begin(), shown.end());
  staples_.set_certificates(shown);
}

// Each thread lets go of it behind the turn that it is in.
void Control::on_staple_retired(net::SharedStaple staple) {
  for (const auto& worker : workers_)
    worker->loop().post([held = staple] { static_cast<void>(held); });
}

void Control::on_revocations_retired(net::SharedRevocationList list) {
  for (const auto& worker : workers_)
    worker->loop().post([held = list] { static_cast<void>(held); });
}

// Those of files that have changed.
void Control::swap_certificates(LoadJob& job) {
  const SharedTlsSetup old = tls_setup_;
  show_certificates(std::move(job.fresh_tls));
  if (!job.is_loaded && last_reload_ok_) seen_certificates_ = job.fresh_hash;
  std::size_t count = 0;
  for (std::size_t i = 0; i < old->files.size(); ++i) {
    if (old->files[i] != tls_setup_->files[i]) ++count;
  }
  base::log(LogLevel::info, "tls", "{} of {} certificates read again in {:.3f} s", count,
            tls_setup_->files.size(),
            static_cast<double>(base::monotonic_ns() - reload_began_ns_) / 1e9);
}

// Those of our own authority, when it is time. A reload that is under way makes them, or the next look
// does.
void Control::renew_internal() {
  if (is_reloading_ || !current_ || !tls_.is_renewal_due()) return;
  auto made = tls_.internal(*current_->model, tls_folder(*current_->model));
  auto setup = made ? make_tls_setup(*current_->model, tls_setup_->files, *std::move(made),
                                     builder_.tickets())
                    : std::unexpected(std::move(made.error()));
  if (!setup) {
    base::log(LogLevel::error, "tls", "certificates that are to be renewed: {}", setup.error());
    return;
  }
  tls_.note(*current_->model);
  show_certificates(*std::move(setup));
  base::log(LogLevel::info, "tls", "certificates of `tls: internal` renewed");
}

std::string Control::tls_folder(const conf::Model& model) const {
  return supervisor::tls_folder(state_folder(model));
}

std::string Control::state_folder(const conf::Model& model) const {
  return options_.state.empty() ? supervisor::state_folder(model.state, options_.config_file)
                                : options_.state;
}

}  // namespace portunus::proxy
