// Where a supervisor keeps what belongs to it: the folder of its state, with the control socket, the
// logs of services, and what outlives a restart. The command line finds a running supervisor there,
// by the configuration file alone. No state; any thread.
#pragma once

#include <expected>
#include <string>

namespace portunus::supervisor {

// `configured` when it is not empty. Else a folder for that configuration file, so that two on one
// machine do not meet: below $STATE_DIRECTORY (systemd), or /var/lib/portunus for root, or
// $XDG_STATE_HOME/portunus, or ~/.local/state/portunus. Not made yet.
[[nodiscard]] std::string state_folder(const std::string& configured,
                                       const std::string& config_file);

// Makes it, and what is above it, for nobody else to read. The error is one line.
[[nodiscard]] std::expected<void, std::string> make_folder(const std::string& folder);

[[nodiscard]] inline std::string control_socket_path(const std::string& state) {
  return state + "/control.sock";
}
// Of the lists that Consul has told, for a start without it: the proxy's.
[[nodiscard]] inline std::string discovery_folder(const std::string& state) {
  return state + "/discovery";
}
// Of the key that cookies of sticky pools are signed with: the proxy's.
[[nodiscard]] inline std::string sticky_folder(const std::string& state) {
  return state + "/sticky";
}
// Of our own authority and its certificates.
[[nodiscard]] inline std::string tls_folder(const std::string& state) {
  return state + "/tls";
}
[[nodiscard]] inline std::string logs_folder(const std::string& state) {
  return state + "/logs";
}

}  // namespace portunus::supervisor
