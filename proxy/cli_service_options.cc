#include "proxy/cli_service_options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

#include "proxy/cli_duration.h"
#include "proxy/cli_services.h"

namespace portunus::proxy {
namespace {

constexpr const char* kServicesHelp =
    "Examples:\n"
    "  portunus services                   every replica: process, port, state, restarts, usage\n"
    "  portunus services web --json        one service, for programs\n";

constexpr const char* kScaleHelp =
    "Examples:\n"
    "  portunus scale web 5 --wait --timeout 1m\n"
    "  portunus scale web 5                between the service's `replicas: { min, max }`\n"
    "\n"
    "It holds until the supervisor is started anew, or the file no longer allows it. With --wait "
    "the\n"
    "command returns when so many are ready and no others are left.\n";

constexpr const char* kRollHelp =
    "Examples:\n"
    "  portunus roll web                   one replica after the other, without losing a request\n"
    "  portunus roll web --timeout 10m\n"
    "\n"
    "Each newcomer has to be healthy before the next replica has its turn. When one is not, the\n"
    "roll ends, that one is taken back, and the exit status is 1. After a time-out (4) the roll\n"
    "goes on.\n";

constexpr const char* kRestartHelp =
    "Examples:\n"
    "  portunus restart web                all replicas at once; `roll` loses no request\n"
    "  portunus restart web --wait         until others are ready in the place of all\n";

constexpr const char* kStartHelp =
    "Examples:\n"
    "  portunus start web                  after `portunus stop web`\n"
    "  portunus start web --wait           until all replicas are ready\n";

constexpr const char* kStopHelp =
    "Examples:\n"
    "  portunus stop web                   until `portunus start web`\n"
    "  portunus stop web --wait            until no process is left\n";

constexpr const char* kLogsHelp =
    "Examples:\n"
    "  portunus logs web                   the last lines that its replicas wrote\n"
    "  portunus logs web -f -n 0           only what comes from now on\n"
    "  portunus logs web --replica 2 -n 500\n";

constexpr const char* kUpgradeHelp =
    "Examples:\n"
    "  install portunus.new /usr/bin/portunus && portunus upgrade\n"
    "  portunus upgrade --timeout 5m\n"
    "\n"
    "Puts the program as it is on disk now in the place of the running one: a new proxy takes "
    "over\n"
    "and the former one ends its requests, then the supervisor executes the new program in place. "
    "No\n"
    "connection is refused, and services do not notice. When the new program does not run, "
    "refuses\n"
    "the configuration or is not ready in time, nothing changes and the exit status is 1. After a\n"
    "time-out (4) the upgrade goes on.\n";

}  // namespace

struct ServiceOptions::Parts {
  CLI::App* services = nullptr;
  CLI::App* scale = nullptr;
  CLI::App* roll = nullptr;
  CLI::App* restart = nullptr;
  CLI::App* start = nullptr;
  CLI::App* stop = nullptr;
  CLI::App* logs = nullptr;
  CLI::App* upgrade = nullptr;
  ServiceCall call;
  LogCall log;
  std::string timeout;
  std::uint32_t replicas = 0;

  CLI::App* add(CLI::App& app, const char* name, const char* what, const char* help);
  void add_service(CLI::App& command, bool is_required);
  void add_timeout(CLI::App& command, const char* usual);
};

CLI::App* ServiceOptions::Parts::add(CLI::App& app,
                                     const char* name,
                                     const char* what,
                                     const char* help) {
  CLI::App* const command = app.add_subcommand(name, what);
  command->footer(help);
  command->add_option("-c,--config", call.config_file, "configuration file")->type_name("FILE");
  command->add_option("--socket", call.socket, "the supervisor's socket, instead of the file's")
      ->type_name("PATH");
  return command;
}

void ServiceOptions::Parts::add_service(CLI::App& command, bool is_required) {
  command.add_option("SERVICE", call.service, "name of the service")
      ->type_name("")
      ->required(is_required);
}

void ServiceOptions::Parts::add_timeout(CLI::App& command, const char* usual) {
  command
      .add_option("--timeout", timeout,
                  std::string("how long to wait, such as 500ms, 30s or 2m (default ") + usual + ")")
      ->type_name("TIME");
}

ServiceOptions::ServiceOptions(CLI::App& app) : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  parts.services = parts.add(app, "services", "Show services and their replicas", kServicesHelp);
  parts.add_service(*parts.services, false);
  parts.services->add_flag("--json", parts.call.as_json, "JSON instead of text");
  parts.scale = parts.add(app, "scale", "Change the number of a service's replicas", kScaleHelp);
  parts.add_service(*parts.scale, true);
  parts.scale->add_option("N", parts.replicas, "replicas")->required()->type_name("");
  parts.roll = parts.add(
      app, "roll", "Restart a service's replicas one by one; wait for the outcome", kRollHelp);
  parts.restart =
      parts.add(app, "restart", "Restart a service's replicas, all at once", kRestartHelp);
  parts.start = parts.add(app, "start", "Start a service that was stopped", kStartHelp);
  parts.stop = parts.add(app, "stop", "Stop a service", kStopHelp);
  parts.add_timeout(*parts.services, "5s");
  for (CLI::App* command : {parts.scale, parts.restart, parts.start, parts.stop}) {
    command->add_flag("--wait", parts.call.waits, "until it is so; show how it goes");
    parts.add_timeout(*command, "5s, with --wait 2m");
  }
  parts.add_timeout(*parts.roll, "1h");
  parts.logs = parts.add(app, "logs", "Show what a service's replicas write", kLogsHelp);
  for (CLI::App* command : {parts.roll, parts.restart, parts.start, parts.stop, parts.logs})
    parts.add_service(*command, true);
  parts.logs->add_flag("-f,--follow", parts.log.follow, "go on with what comes");
  parts.logs->add_option("-n,--lines", parts.log.lines, "of each replica (default 50)")
      ->type_name("N");
  parts.logs->add_option("--replica", parts.log.replica, "one replica instead of all")
      ->type_name("R");
  parts.upgrade =
      parts.add(app, "upgrade", "Put the program as it is on disk in the place of the running one",
                kUpgradeHelp);
  parts.add_timeout(*parts.upgrade, "60s");
}

ServiceOptions::~ServiceOptions() = default;

bool ServiceOptions::is_parsed() const {
  const std::array<const CLI::App*, 8> all{parts_->services, parts_->scale,  parts_->roll,
                                           parts_->restart,  parts_->start,  parts_->stop,
                                           parts_->logs,     parts_->upgrade};
  return std::ranges::any_of(all, [](const CLI::App* command) { return command->parsed(); });
}

int ServiceOptions::run(CliOutput& output) const {
  ServiceCall call = parts_->call;
  if (parts_->roll->parsed()) call.timeout = std::chrono::hours(1);
  if (parts_->upgrade->parsed()) call.timeout = std::chrono::minutes(1);
  if (call.waits) call.timeout = std::chrono::minutes(2);
  if (!read_duration("--timeout", parts_->timeout, call.timeout, output)) return exit_usage;
  if (parts_->services->parsed()) return show_services(call, output);
  if (parts_->scale->parsed()) return scale_service(call, parts_->replicas, output);
  if (parts_->roll->parsed()) return roll_service(call, output);
  if (parts_->upgrade->parsed()) return upgrade_program(call, output);
  if (parts_->logs->parsed()) return show_logs(call, parts_->log, output);
  if (parts_->start->parsed()) return order_service(call, "start", output);
  return order_service(call, parts_->stop->parsed() ? "stop" : "restart", output);
}

}  // namespace portunus::proxy
