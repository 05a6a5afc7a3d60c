#include "proxy/cli_commands.h"

#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/version.h"
#include "conf/load.h"

namespace portunus::proxy {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct Summary {
  std::size_t sites = 0;
  std::size_t routes = 0;
  std::size_t pools = 0;
  std::size_t members = 0;
  std::size_t services = 0;
};

Summary summarise(const conf::Model& model) {
  Summary summary{
      .sites = model.sites.size(), .pools = model.pools.size(), .services = model.services.size()};
  for (const conf::Site& site : model.sites)
    summary.routes += site.routes.size();
  for (const conf::Pool& pool : model.pools)
    summary.members += pool.upstreams.size();
  return summary;
}

std::string counted(std::size_t count, const std::string& noun) {
  return std::to_string(count) + ' ' + noun + (count == 1 ? "" : "s");
}

std::size_t count_errors(const std::vector<conf::Diagnostic>& diagnostics) {
  std::size_t errors = 0;
  for (const conf::Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity == conf::Severity::error) ++errors;
  }
  return errors;
}

std::string check_json(const std::string& file, const conf::LoadResult& result) {
  OrderedJson out;
  out["valid"] = result.model != nullptr;
  out["file"] = file;
  if (result.model != nullptr) {
    const Summary summary = summarise(*result.model);
    out["hash"] = result.shown_hash;
    out["sites"] = summary.sites;
    out["routes"] = summary.routes;
    out["pools"] = summary.pools;
    out["members"] = summary.members;
    out["services"] = summary.services;
  }
  out["diagnostics"] = OrderedJson::parse(conf::format_json(result.diagnostics), nullptr, false);
  return out.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
}

}  // namespace

std::optional<std::string> find_config_file(const std::string& given,
                                            const std::vector<std::string>& defaults,
                                            CliOutput& output) {
  if (!given.empty()) return given;
  std::string tried;
  for (const std::string& path : defaults) {
    std::error_code failure;
    if (std::filesystem::exists(path, failure)) return path;
    tried += (tried.empty() ? "" : " nor ") + path;
  }
  output.err +=
      "portunus: no configuration file: neither " + tried + " is there; name one with -c FILE\n";
  return std::nullopt;
}

std::optional<std::string> find_config_file(const std::string& given, CliOutput& output) {
  return find_config_file(given, {"./portunus.yaml", "/etc/portunus/portunus.yaml"}, output);
}

std::expected<FoundConfig, int> load_config(const std::string& given,
                                            const std::string& missing,
                                            const std::string& way,
                                            CliOutput& output) {
  const std::optional<std::string> file = find_config_file(given, output);
  if (!file) return std::unexpected(exit_usage);
  conf::LoadResult result = conf::load_file(*file, {.reads_certificates = false});
  if (result.model != nullptr) return FoundConfig{*file, std::move(result.model)};
  output.err += conf::format_text(result.diagnostics);
  output.err += "portunus: " + *file + " is not valid, so the " + missing +
                " is not known; the running program was not asked and is unchanged\n          (" +
                way + " asks it whatever the file says)\n";
  return std::unexpected(exit_refused);
}

int check_config(const std::string& file, bool as_json, CliOutput& output) {
  const conf::LoadResult result = conf::load_file(file, {.is_for_root = ::geteuid() == 0});
  const bool is_valid = result.model != nullptr;
  if (as_json) {
    output.out += check_json(file, result);
    return is_valid ? exit_ok : exit_refused;
  }
  output.err += conf::format_text(result.diagnostics);
  if (!is_valid) {
    output.err +=
        file + ": not valid: " + counted(count_errors(result.diagnostics), "error") + '\n';
    return exit_refused;
  }
  const Summary summary = summarise(*result.model);
  output.out += file + ": valid: " + counted(summary.sites, "site") + ", " +
                counted(summary.routes, "route") + ", " + counted(summary.pools, "pool") +
                " with " + counted(summary.members, "member");
  if (summary.services > 0) output.out += ", " + counted(summary.services, "service");
  output.out += '\n';
  return exit_ok;
}

int print_version(bool as_json, CliOutput& output) {
  if (as_json) {
    OrderedJson out;
    out["version"] = base::kVersion;
    out["revision"] = base::kRevision;
    output.out += out.dump() + '\n';
  } else {
    output.out +=
        "portunus " + std::string(base::kVersion) + " (" + std::string(base::kRevision) + ")\n";
  }
  return exit_ok;
}

}  // namespace portunus::proxy
