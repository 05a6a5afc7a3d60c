#include "proxy/cli_member_options.h"

#include <CLI/CLI.hpp>

#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>

#include "proxy/cli_admin.h"
#include "proxy/cli_duration.h"
#include "proxy/member_orders.h"

namespace portunus::proxy {
namespace {

constexpr const char* kDrainHelp =
    "Examples:\n"
    "  portunus drain web/10.0.0.4:8080 --wait 30s    returns when no request is in flight there\n"
    "  portunus drain web/10.0.0.4:8080 && portunus pools web\n"
    "\n"
    "No new request goes there, running ones end, probes go on. It holds over reloads and "
    "restarts\n"
    "until `portunus enable`. Exit status 4: some are still in flight after --wait; it drains "
    "on.\n";

constexpr const char* kDisableHelp =
    "Examples:\n"
    "  portunus disable web/10.0.0.4:8080 --wait 30s\n"
    "\n"
    "For maintenance: as `drain`, and no probe is made or counts. It holds over reloads and "
    "restarts\n"
    "until `portunus enable`.\n";

constexpr const char* kEnableHelp =
    "Examples:\n"
    "  portunus enable web/10.0.0.4:8080\n"
    "\n"
    "The end of `drain` and `disable`. After `disable` the member has requests again once a probe\n"
    "has succeeded.\n";

constexpr const char* kWeightHelp =
    "Examples:\n"
    "  portunus weight web/10.0.0.4:8080 20\n"
    "  portunus weight web/10.0.0.4:8080 default      as the configuration has it\n"
    "\n"
    "From 1 to 1000, against the weights of the other members. It holds over reloads and "
    "restarts.\n";

// "web/10.0.0.4:8080": the name of a pool may have slashes, a member has none.
bool split(const std::string& text, MemberCall& wanted) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size()) return false;
  wanted.pool = text.substr(0, slash);
  wanted.member = text.substr(slash + 1);
  return true;
}

std::optional<std::uint32_t> weight_from(std::string_view text) {
  if (text == "default") return 0;
  std::uint32_t weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (weight == 0 || weight > kWeightMax) return std::nullopt;
  return weight;
}

}  // namespace

struct MemberOptions::Parts {
  CLI::App* drain = nullptr;
  CLI::App* enable = nullptr;
  CLI::App* disable = nullptr;
  CLI::App* weight = nullptr;
  AdminCall call;
  std::string member;
  std::string weight_text;
  std::string wait;
  std::string timeout;

  CLI::App* add(CLI::App& app, const char* name, const char* what, const char* help);
};

CLI::App* MemberOptions::Parts::add(CLI::App& app,
                                    const char* name,
                                    const char* what,
                                    const char* help) {
  CLI::App* const command = app.add_subcommand(name, what);
  command->footer(help);
  command->add_option("POOL/MEMBER", member, "as `portunus pools` has them: web/10.0.0.4:8080")
      ->type_name("")
      ->required();
  command->add_option("-c,--config", call.config_file, "configuration file")->type_name("FILE");
  command->add_option("--admin", call.address, "admin address, instead of the file's")
      ->type_name("ADDRESS");
  command->add_option("--timeout", timeout, "how long to wait for an answer (default 5s)")
      ->type_name("TIME");
  command->add_flag("--json", call.as_json, "JSON instead of text");
  return command;
}

MemberOptions::MemberOptions(CLI::App& app) : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  parts.drain = parts.add(app, "drain", "Send a member no new requests", kDrainHelp);
  parts.disable = parts.add(
      app, "disable", "Take a member out for maintenance: no requests, no probes", kDisableHelp);
  parts.enable = parts.add(app, "enable", "Take a member in again", kEnableHelp);
  parts.weight = parts.add(app, "weight", "Change a member's weight", kWeightHelp);
  parts.weight->add_option("N", parts.weight_text, "from 1 to 1000, or `default`")
      ->type_name("")
      ->required();
  for (CLI::App* command : {parts.drain, parts.disable}) {
    command->add_option("--wait", parts.wait, "wait until no request is in flight there")
        ->type_name("TIME");
  }
}

MemberOptions::~MemberOptions() = default;

bool MemberOptions::is_parsed() const {
  return parts_->drain->parsed() || parts_->enable->parsed() || parts_->disable->parsed() ||
         parts_->weight->parsed();
}

int MemberOptions::run(CliOutput& output) const {
  AdminCall call = parts_->call;
  MemberCall wanted;
  if (!split(parts_->member, wanted)) {
    output.err +=
        "portunus: `" + parts_->member + "` is not POOL/MEMBER, such as web/10.0.0.4:8080\n";
    return exit_usage;
  }
  if (parts_->drain->parsed()) wanted.verb = "drain";
  if (parts_->disable->parsed()) wanted.verb = "disable";
  if (parts_->weight->parsed()) {
    wanted.verb = "weight";
    const std::optional<std::uint32_t> weight = weight_from(parts_->weight_text);
    if (!weight) {
      output.err += "portunus: a weight is a number from 1 to 1000, or `default`\n";
      if (parts_->weight_text == "0") {
        output.err += "          (`portunus drain` sends a member no requests)\n";
      }
      return exit_usage;
    }
    wanted.weight = *weight;
  }
  if (!read_duration("--timeout", parts_->timeout, call.timeout, output) ||
      !read_duration("--wait", parts_->wait, wanted.wait, output)) {
    return exit_usage;
  }
  return order_member(call, wanted, output);
}

}  // namespace portunus::proxy
