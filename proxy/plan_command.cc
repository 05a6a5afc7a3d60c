#include "proxy/plan_command.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <expected>
#include <string_view>

#include "conf/load.h"
#include "proxy/admin.h"
#include "proxy/cli.h"
#include "proxy/process.h"
#include "proxy/resolve.h"
#include "proxy/sticky_secret.h"
#include "proxy/tls_setup.h"
#include "supervisor/plan.h"
#include "supervisor/resume.h"

namespace portunus::proxy {
namespace {

std::expected<supervisor::Plan, std::string> make_plan(const conf::LoadResult& loaded) {
  const conf::Model& model = *loaded.model;
  supervisor::Plan plan;
  plan.resume_version = supervisor::kResumeVersion;
  plan.hash = loaded.hash;
  plan.threads = model.threads != 0 ? model.threads : std::min(usable_cpus(), conf::kThreadsMax);
  for (const conf::Listener& listener : model.listeners) {
    const std::string what = "listener " + listener.name + " (" + listener.declared_at + ")";
    const auto address = listening_address(listener.address);
    if (!address) return std::unexpected(what + ": " + address.error());
    plan.listeners.push_back({what, address->text()});
  }
  if (model.admin.is_enabled) {
    const auto address = admin_address(model.admin);
    if (!address) return std::unexpected(address.error());
    plan.admin = address->text();
  }
  plan.user = model.user;
  plan.state = model.state;
  plan.has_authority = has_authority(model);
  plan.has_sticky_key = needs_sticky_secret(model);
  plan.has_discovery = std::ranges::any_of(
      model.pools, [](const conf::Pool& pool) { return pool.consul.has_value(); });
  plan.log = model.log;
  plan.announce_ms = static_cast<std::uint64_t>(model.shutdown.announce.count());
  plan.drain_ms = static_cast<std::uint64_t>(model.shutdown.drain.count());
  plan.services = model.services;
  return plan;
}

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(descriptor, text.data(), text.size());
    if (size < 0 && errno != EINTR) return false;
    if (size > 0) text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

}  // namespace

int print_plan(const std::string& config_file, int descriptor) {
  // They are the proxy's matter: nothing of the plan depends on what they hold.
  const conf::LoadResult loaded = conf::load_file(config_file, {.reads_certificates = false});
  if (!loaded.model) {
    std::fputs(conf::format_text(loaded.diagnostics).c_str(), stderr);
    return exit_refused;
  }
  const auto plan = make_plan(loaded);
  if (!plan) {
    std::fprintf(stderr, "portunus: %s\n", plan.error().c_str());
    return exit_refused;
  }
  return write_all(descriptor, supervisor::encode(*plan)) ? exit_ok : exit_refused;
}

}  // namespace portunus::proxy
