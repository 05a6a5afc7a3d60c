#include "proxy/cli_services.h"

#include <expected>
#include <filesystem>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "conf/load.h"
#include "proxy/cli_commands.h"
#include "proxy/cli_tables.h"
#include "proxy/control_call.h"
#include "proxy/service_logs.h"
#include "proxy/service_texts.h"
#include "supervisor/paths.h"

namespace portunus::proxy {
namespace {

using Json = nlohmann::json;

// The control socket out of the option or the file; else the exit status.
std::expected<std::string, int> find_socket(const ServiceCall& call, CliOutput& output) {
  if (!call.socket.empty()) return call.socket;
  const auto config = load_config(call.config_file, "control socket", "--socket PATH", output);
  if (!config) return std::unexpected(config.error());
  return supervisor::control_socket_path(
      supervisor::state_folder(config->model->state, config->file));
}

class ViewReader final : public AnswerHandler {
 public:
  bool on_answer(std::string_view line) override {
    const Json object = Json::parse(line.begin(), line.end(), nullptr, false);
    if (object.is_object() && object.contains("services"))
      supervisor::decode_views(object["services"].dump(), views);
    return true;
  }
  std::vector<supervisor::ServiceView> views;
};

class ProgressPrinter final : public AnswerHandler {
 public:
  ProgressPrinter(std::string what, CliOutput& output) : what_(std::move(what)), output_(output) {}
  bool on_answer(std::string_view line) override {
    const Json object = Json::parse(line.begin(), line.end(), nullptr, false);
    if (!object.is_object() || !object.contains("progress")) return true;
    const Json& text = object["progress"];
    if (!text.is_string()) return true;
    output_.out += what_ + ": " + printable(text.get_ref<const std::string&>(), false) + '\n';
    return output_.flush();
  }

 private:
  std::string what_;
  CliOutput& output_;
};

int ask(const ServiceCall& call,
        const ControlRequest& request,
        AnswerHandler& handler,
        CliOutput& output) {
  const auto socket = find_socket(call, output);
  if (!socket) return socket.error();
  const ControlOutcome outcome = call_supervisor(*socket, request, call.timeout, handler);
  if (outcome.status != exit_ok) {
    output.err += "portunus: " + printable(outcome.error, true) + '\n';
  }
  return outcome.status;
}

// `begun` is what to say when nobody waits for more.
int change_service(const ServiceCall& call,
                   const ControlRequest& request,
                   const std::string& begun,
                   CliOutput& output) {
  ProgressPrinter printer(call.service, output);
  const int status = ask(call, request, printer, output);
  if (status == exit_ok)
    output.out += call.service + ": " + (call.waits ? std::string("done") : begun) + '\n';
  if (status == exit_timed_out && call.waits) {
    output.err += "          The order stands; `portunus services` shows what comes of it.\n";
  }
  return status;
}

}  // namespace

int show_services(const ServiceCall& call, CliOutput& output) {
  ViewReader reader;
  const int status = ask(call, {"services", call.service, {}, false}, reader, output);
  if (status != exit_ok) return status;
  const std::uint64_t now_us = base::wall_us();
  output.out +=
      call.as_json ? services_json(reader.views, now_us) : services_table(reader.views, now_us);
  return exit_ok;
}

int scale_service(const ServiceCall& call, std::uint32_t replicas, CliOutput& output) {
  return change_service(call, {"scale", call.service, replicas, call.waits},
                        std::to_string(replicas) + " replicas are wanted", output);
}

int order_service(const ServiceCall& call, const char* verb, CliOutput& output) {
  return change_service(call, {verb, call.service, {}, call.waits},
                        std::string(verb) + " has begun", output);
}

int roll_service(const ServiceCall& call, CliOutput& output) {
  ProgressPrinter printer(call.service, output);
  const int status = ask(call, {"roll", call.service, {}, false}, printer, output);
  if (status == exit_timed_out) {
    output.err += "          The roll goes on; `portunus services` shows it.\n";
  }
  return status;
}

int upgrade_program(const ServiceCall& call, CliOutput& output) {
  ProgressPrinter printer("upgrade", output);
  const int status = ask(call, {"upgrade", {}, {}, false}, printer, output);
  if (status == exit_ok) output.out += "upgrade: done\n";
  if (status == exit_timed_out) {
    output.err += "          The upgrade goes on; the supervisor's log says what comes of it.\n";
  }
  return status;
}

int show_logs(const ServiceCall& call, const LogCall& wanted, CliOutput& output) {
  const auto socket = find_socket(call, output);
  if (!socket) return socket.error();
  const std::string state = std::filesystem::path(*socket).parent_path().string();
  return print_logs({.folder = supervisor::logs_folder(state.empty() ? "." : state),
                     .service = call.service,
                     .replica = wanted.replica,
                     .lines = wanted.lines,
                     .follow = wanted.follow},
                    output);
}

}  // namespace portunus::proxy
