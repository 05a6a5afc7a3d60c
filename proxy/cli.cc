#include "proxy/cli.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <string_view>

#include "conf/reader.h"
#include "conf/reference.h"
#include "proxy/cli_admin.h"
#include "proxy/cli_commands.h"
#include "proxy/cli_duration.h"
#include "proxy/cli_explain.h"
#include "proxy/cli_member_options.h"
#include "proxy/cli_password.h"
#include "proxy/cli_service_options.h"

namespace portunus::proxy {
namespace {

constexpr const char* kExitHelp =
    "Exit status: 0 done, 1 refused or not valid, 2 wrong usage, 3 not reachable, 4 timed out.";

constexpr const char* kAbout =
    "Portunus, the front door: an HTTP load balancer and reverse proxy.\n"
    "Without -c, commands take ./portunus.yaml, or else /etc/portunus/portunus.yaml.";

constexpr const char* kRootExamples =
    "Examples:\n"
    "  portunus check portunus.yaml        is this file right? shows every error at once\n"
    "  portunus run -c portunus.yaml       serve\n"
    "  portunus reload -c portunus.yaml    take over a changed file, without losing a request\n"
    "  portunus help reload                more about one command\n"
    "\n";

constexpr const char* kRunHelp =
    "Examples:\n"
    "  portunus run -c portunus.yaml\n"
    "  portunus run                        with the default file\n"
    "\n"
    "Signals: HUP reloads the file (as a change of the file does), USR1 opens the logs anew, TERM "
    "and INT\n"
    "stop after the running requests (a second one at once), QUIT stops at once.\n";

constexpr const char* kProxyHelp =
    "Examples:\n"
    "  portunus proxy -c portunus.yaml     for a container with a supervisor of its own, or a "
    "debugger\n"
    "\n"
    "`run` starts this as its child. Alone, services are not started, and who crashes stays "
    "down.\n";

constexpr const char* kPlanHelp =
    "For the supervisor, which reads no configuration itself.\n"
    "\n"
    "Example:\n"
    "  portunus plan -c portunus.yaml\n";

constexpr const char* kCheckHelp =
    "Examples:\n"
    "  portunus check portunus.yaml        errors and warnings with line, column and a hint\n"
    "  portunus check --json new.yaml      the same for programs\n"
    "  portunus check new.yaml && mv new.yaml portunus.yaml\n"
    "\n"
    "It is the very check that `run` and `reload` make. Exit status: 0 valid, 1 not valid, 2 wrong "
    "usage.\n";

constexpr const char* kReloadHelp =
    "Examples:\n"
    "  portunus reload -c portunus.yaml                   waits until all threads run on the new "
    "file\n"
    "  portunus reload --admin 127.0.0.1:9180 --json      names the running proxy by its admin "
    "address\n"
    "  portunus reload -c portunus.yaml --timeout 2m\n"
    "\n"
    "A file with an error changes nothing: the proxy goes on as it was, and the errors are shown.\n"
    "The proxy reads its own file again; -c is only where this command finds the admin address.\n"
    "After a time-out (4) the reload may still take place; `portunus status` shows it.\n";

constexpr const char* kStatusHelp =
    "Examples:\n"
    "  portunus status -c portunus.yaml\n"
    "  portunus status --admin 127.0.0.1:9180 --json\n";

constexpr const char* kCertificatesHelp =
    "Examples:\n"
    "  portunus certificates -c portunus.yaml\n"
    "  portunus certificates --json\n";

constexpr const char* kPoolsHelp =
    "Examples:\n"
    "  portunus pools                      all pools\n"
    "  portunus pools api                  one pool\n"
    "  portunus pools --json | jq '.pools[].members[] | select(.state != \"up\")'\n";

constexpr const char* kHealthcheckHelp =
    "Examples:\n"
    "  portunus healthcheck -c /etc/portunus/portunus.yaml\n"
    "  HEALTHCHECK CMD portunus healthcheck         in a container's build file\n"
    "\n"
    "Exit status: 0 ready, 1 starting or stopping, 3 not reachable, 4 timed out.\n";

constexpr const char* kConfigHelp =
    "Examples:\n"
    "  portunus config reference | less             every key, with type, default and meaning\n"
    "  portunus config schema > portunus.schema.json\n";

constexpr const char* kVersionHelp =
    "Examples:\n"
    "  portunus version\n"
    "  portunus version --json\n";

constexpr std::string_view kTimeoutHelp = "how long to wait, such as 500ms, 30s or 2m";

// What the options fill.
struct Options {
  std::string config_file;
  std::string checked_file;
  std::string admin;
  std::string timeout;
  std::string pool;
  bool as_json = false;
  std::uint32_t threads = 0;
  int channel = -1;
  int files = -1;
  std::uint64_t tried_us = 0;
  int output = 1;
  int resume = -1;
  std::string state;
};

struct Commands {
  CLI::App app{kAbout, "portunus"};
  CLI::App* run = nullptr;
  CLI::App* proxy = nullptr;
  CLI::App* plan = nullptr;
  CLI::App* check = nullptr;
  CLI::App* reload = nullptr;
  CLI::App* status = nullptr;
  CLI::App* pools = nullptr;
  CLI::App* certificates = nullptr;
  CLI::App* healthcheck = nullptr;
  CLI::App* config = nullptr;
  CLI::App* reference = nullptr;
  CLI::App* schema = nullptr;
  CLI::App* version = nullptr;
  CLI::App* password = nullptr;
  std::unique_ptr<ExplainOptions> explain;
  std::unique_ptr<MemberOptions> members;
  std::unique_ptr<ServiceOptions> services;
  Options options;

  Commands();
  CLI::App* add(const char* name, const char* what, const char* help);
  void add_processes();
  void add_config_option(CLI::App& command);
  void add_json_option(CLI::App& command);
  void add_admin_options(CLI::App& command, const std::string& default_timeout);
};

CLI::App* Commands::add(const char* name, const char* what, const char* help) {
  CLI::App* command = app.add_subcommand(name, what);
  command->footer(help);
  return command;
}

void Commands::add_config_option(CLI::App& command) {
  command.add_option("-c,--config", options.config_file, "configuration file")->type_name("FILE");
}

void Commands::add_json_option(CLI::App& command) {
  command.add_flag("--json", options.as_json, "JSON instead of text");
}

void Commands::add_admin_options(CLI::App& command, const std::string& default_timeout) {
  add_config_option(command);
  command.add_option("--admin", options.admin, "admin address, instead of the file's")
      ->type_name("ADDRESS");
  command
      .add_option("--timeout", options.timeout,
                  std::string(kTimeoutHelp) + " (default " + default_timeout + ")")
      ->type_name("TIME");
}

// What the supervisor starts.
void Commands::add_processes() {
  proxy =
      add("proxy", "Serve without the supervisor: one process, restarted by nobody", kProxyHelp);
  add_config_option(*proxy);
  proxy->add_option("--threads", options.threads, "data-plane threads, instead of the file's")
      ->type_name("N");
  // How the supervisor starts it; of no use to a person.
  proxy->add_option("--channel", options.channel)->group("");
  proxy->add_option("--files", options.files)->group("");
  proxy->add_option("--state", options.state)->group("");
  proxy->add_option("--tried", options.tried_us)->group("");

  plan = add("plan", "What the supervisor needs of a file, as JSON", kPlanHelp);
  add_config_option(*plan);
  plan->add_option("--output", options.output)->group("");
  plan->group("");
}

Commands::Commands() {
  app.require_subcommand(1);
  app.footer(std::string(kRootExamples) + kExitHelp);

  run = add("run", "Serve, in the foreground, until told to stop", kRunHelp);
  add_config_option(*run);
  run->add_option("--resume", options.resume)->group("");  // how it executes itself

  add_processes();

  check = add("check", "Check a configuration file", kCheckHelp);
  check->add_option("FILE,-c,--config", options.checked_file, "configuration file")
      ->type_name("FILE");
  add_json_option(*check);

  reload = add("reload", "Make the running proxy read its file again; wait for the outcome",
               kReloadHelp);
  add_admin_options(*reload, "30s");
  add_json_option(*reload);

  status = add("status", "Show the running proxy: configuration, listeners, reloads", kStatusHelp);
  add_admin_options(*status, "5s");
  add_json_option(*status);

  pools = add("pools", "Show pools and their members: state, since when, why", kPoolsHelp);
  pools->add_option("POOL", options.pool, "one pool instead of all")->type_name("");
  add_admin_options(*pools, "5s");
  add_json_option(*pools);

  certificates =
      add("certificates", "Show certificates: names, issuer, when they end", kCertificatesHelp);
  add_admin_options(*certificates, "5s");
  add_json_option(*certificates);

  explain = std::make_unique<ExplainOptions>(app);
  members = std::make_unique<MemberOptions>(app);
  services = std::make_unique<ServiceOptions>(app);

  healthcheck = add("healthcheck", "Ask the running proxy whether it is ready", kHealthcheckHelp);
  add_admin_options(*healthcheck, "5s");

  config = add("config", "Describe what a configuration file may hold", kConfigHelp);
  config->require_subcommand(1);
  reference = config->add_subcommand("reference", "Every key, as a Markdown page");
  reference->footer("Example:\n  portunus config reference > reference.md\n");
  schema = config->add_subcommand("schema", "JSON Schema, for editors");
  schema->footer("Example:\n  portunus config schema > portunus.schema.json\n");

  password = add("password", "Make the hash of a password, for `basic_auth`", kPasswordHelp);

  version = add("version", "Show the version", kVersionHelp);
  add_json_option(*version);
}

std::vector<std::string_view> names_of(const CLI::App& app) {
  std::vector<std::string_view> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

// Whether `word` is none of the commands below `app`; then says so, with the nearest one.
bool is_unknown(const CLI::App& app,
                const std::string& prefix,
                const std::string& word,
                CliOutput& output) {
  const std::vector<std::string_view> known = names_of(app);
  if (word.starts_with('-') || std::ranges::find(known, std::string_view(word)) != known.end()) {
    return false;
  }
  output.err += "portunus: unknown command `" + prefix + word + "`";
  const std::string_view nearest = conf::find_nearest(word, known);
  if (!nearest.empty()) {
    output.err += "; did you mean `" + prefix + std::string(nearest) + "`?\n";
  } else {
    output.err += "; known are " + conf::list_words(known) + '\n';
  }
  return true;
}

// `help X` is `X --help`; `--version` is `version`.
std::vector<std::string> expand(std::vector<std::string> arguments) {
  if (arguments.empty()) return arguments;
  if (arguments.front() == "help") {
    arguments.erase(arguments.begin());
    arguments.emplace_back("--help");
  } else if (arguments.front() == "--version" || arguments.front() == "-V") {
    arguments.front() = "version";
  }
  return arguments;
}

// `run` and the processes that it starts.
int run_process(const Commands& commands, const ProcessCommands& processes, CliOutput& output) {
  const Options& options = commands.options;
  const auto file = find_config_file(options.config_file, output);
  if (!file) return exit_usage;
  const ProcessOptions process{.config_file = *file,
                               .threads = options.threads,
                               .channel = options.channel,
                               .files = options.files,
                               .tried_us = options.tried_us,
                               .output = options.output,
                               .resume = options.resume,
                               .state = options.state};
  if (commands.run->parsed()) return processes.supervisor(process);
  return commands.proxy->parsed() ? processes.proxy(process) : processes.plan(process);
}

int dispatch(Commands& commands, const ProcessCommands& processes, CliOutput& output) {
  if (commands.services->is_parsed()) return commands.services->run(output);
  if (commands.members->is_parsed()) return commands.members->run(output);
  if (commands.explain->is_parsed()) return commands.explain->run(output);
  const Options& options = commands.options;
  AdminCall call{
      .config_file = options.config_file, .address = options.admin, .as_json = options.as_json};
  if (commands.reload->parsed()) call.timeout = std::chrono::seconds(30);
  if (!read_duration("--timeout", options.timeout, call.timeout, output)) return exit_usage;
  if (commands.run->parsed() || commands.proxy->parsed() || commands.plan->parsed()) {
    return run_process(commands, processes, output);
  }
  if (commands.check->parsed()) {
    const auto file = find_config_file(options.checked_file, output);
    return file ? check_config(*file, options.as_json, output) : int{exit_usage};
  }
  if (commands.reload->parsed()) return reload_config(call, output);
  if (commands.status->parsed()) return show_status(call, output);
  if (commands.pools->parsed()) return show_pools(call, options.pool, output);
  if (commands.certificates->parsed()) return show_certificates(call, output);
  if (commands.healthcheck->parsed()) return check_health(call, output);
  if (commands.password->parsed()) return print_password_hash(output);
  if (commands.version->parsed()) return print_version(options.as_json, output);
  output.out += commands.reference->parsed() ? conf::reference_markdown() : conf::json_schema();
  return exit_ok;
}

}  // namespace

int run_cli(const std::vector<std::string>& arguments,
            const ProcessCommands& processes,
            CliOutput& output) {
  Commands commands;
  std::vector<std::string> words = expand(arguments);
  if (words.empty()) {
    output.err += commands.app.help();
    return exit_usage;
  }
  if (is_unknown(commands.app, "", words.front(), output)) return exit_usage;
  if (words.front() == "config") {
    if (words.size() == 1) {
      output.err += commands.config->help();
      return exit_usage;
    }
    if (is_unknown(*commands.config, "config ", words[1], output)) return exit_usage;
  }
  std::ranges::reverse(words);  // as CLI11 wants them
  try {
    commands.app.parse(words);
  } catch (const CLI::CallForHelp&) {
    output.out += commands.app.help();
    return exit_ok;
  } catch (const CLI::ParseError& error) {
    output.err += std::string("portunus: ") + error.what() + "\nTry: portunus help";
    for (const CLI::App* command : commands.app.get_subcommands()) {
      output.err += ' ' + command->get_name();
    }
    output.err += '\n';
    return exit_usage;
  }
  return dispatch(commands, processes, output);
}

}  // namespace portunus::proxy
