#include "supervisor/paths.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "base/hash.h"

namespace portunus::supervisor {
namespace {

// Read before there are other threads, or by a command that has none.
std::string variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

std::string base_folder() {
  const std::string given = variable("STATE_DIRECTORY");
  if (!given.empty()) return given.substr(0, given.find(':'));
  if (::geteuid() == 0) return "/var/lib/portunus";
  const std::string state = variable("XDG_STATE_HOME");
  if (state.starts_with('/')) return state + "/portunus";
  const std::string home = variable("HOME");
  return home.starts_with('/') ? home + "/.local/state/portunus" : "/var/lib/portunus";
}

}  // namespace

std::string state_folder(const std::string& configured, const std::string& config_file) {
  if (!configured.empty()) return configured;
  std::error_code failure;
  std::filesystem::path file = std::filesystem::weakly_canonical(config_file, failure);
  if (failure) file = config_file;
  return fmt::format("{}/{}-{:08x}", base_folder(), file.stem().string(),
                     static_cast<std::uint32_t>(base::stable_hash(file.string())));
}

std::expected<void, std::string> make_folder(const std::string& folder) {
  for (std::size_t at = folder.find('/', 1);; at = folder.find('/', at + 1)) {
    const std::string part = folder.substr(0, at);
    const bool is_last = at == std::string::npos;
    if (::mkdir(part.c_str(), is_last ? 0700 : 0755) != 0 && errno != EEXIST && is_last) {
      return std::unexpected(folder + ": " + strerrordesc_np(errno));
    }
    if (is_last) break;
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    return std::unexpected(folder + ": " + strerrordesc_np(errno));
  }
  return {};
}

}  // namespace portunus::supervisor
