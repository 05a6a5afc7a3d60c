#include "supervisor/replica_launch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace portunus::supervisor {
namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

std::string filled(std::string_view text, std::string_view replica, std::string_view port) {
  std::string out;
  while (!text.empty()) {
    const std::size_t brace = text.find('{');
    out += text.substr(0, brace);
    if (brace == std::string_view::npos) break;
    text.remove_prefix(brace);
    constexpr std::string_view kPort = "{port}";
    constexpr std::string_view kReplica = "{replica}";
    if (text.starts_with(kPort)) {
      out += port;
      text.remove_prefix(kPort.size());
    } else if (text.starts_with(kReplica)) {
      out += replica;
      text.remove_prefix(kReplica.size());
    } else {
      out += '{';
      text.remove_prefix(1);
    }
  }
  return out;
}

void set(Variables& variables, std::string_view name, std::string value) {
  const auto at = std::ranges::find(variables, name, &std::pair<std::string, std::string>::first);
  if (at != variables.end()) {
    at->second = std::move(value);
  } else {
    variables.emplace_back(name, std::move(value));
  }
}

void copy_ours(Variables& variables, const char* name) {
  // The supervisor changes its environment only before it has services.
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  if (value != nullptr) set(variables, name, value);
}

bool may_bind(std::uint32_t host, std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return true;  // not for us to know; the service will tell
  const int on = 1;                 // or connections that have ended would look like a listener
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  where.sin_addr.s_addr = htonl(host);
  const bool is_bound =
      ::bind(descriptor, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0 ||
      errno != EADDRINUSE;
  ::close(descriptor);
  return is_bound;
}

}  // namespace

std::expected<Launch, std::string> launch_of(const conf::Service& service,
                                             std::uint32_t replica,
                                             std::uint16_t port) {
  Launch launch;
  const std::string replica_text = std::to_string(replica);
  const std::string port_text = port == 0 ? "" : std::to_string(port);
  for (const std::string& word : service.command)
    launch.command.push_back(filled(word, replica_text, port_text));
  launch.working_directory = service.working_directory;
  launch.address_space_bytes = service.limits.memory_bytes;  // a cgroup makes it unnecessary
  launch.death_signal = service.stop.signal;

  Variables variables;
  for (const char* const name : {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "LOGNAME"})
    copy_ours(variables, name);
  if (!service.user.empty()) {
    auto identity = find_identity(service.user);
    if (!identity) return std::unexpected(std::move(identity).error());
    set(variables, "HOME", identity->home);
    set(variables, "USER", identity->name);
    set(variables, "LOGNAME", identity->name);
    launch.identity = *std::move(identity);
  }
  if (port != 0) set(variables, "PORT", port_text);
  set(variables, "PORTUNUS_SERVICE", service.name);
  set(variables, "PORTUNUS_REPLICA", replica_text);
  for (const auto& [name, value] : service.environment)
    set(variables, name, filled(value, replica_text, port_text));
  for (const auto& [name, value] : variables)
    launch.environment.emplace_back(name).append("=").append(value);
  return launch;
}

bool is_port_free(std::uint16_t port) {
  return may_bind(INADDR_LOOPBACK, port) && may_bind(INADDR_ANY, port);
}

bool needs_new_process(const conf::Service& from, const conf::Service& to) {
  return from.command != to.command || from.environment != to.environment || from.user != to.user ||
         from.ports != to.ports || from.limits != to.limits ||
         from.working_directory != to.working_directory;
}

conf::Service with_settings(const conf::Service& from, const conf::Service& to) {
  conf::Service out = to;
  out.command = from.command;
  out.environment = from.environment;
  out.user = from.user;
  out.ports = from.ports;
  out.limits = from.limits;
  out.working_directory = from.working_directory;
  return out;
}

}  // namespace portunus::supervisor
