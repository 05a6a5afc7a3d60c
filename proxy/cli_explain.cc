#include "proxy/cli_explain.h"

#include <CLI/CLI.hpp>

#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "proxy/cli_admin.h"
#include "proxy/cli_duration.h"
#include "proxy/cli_tables.h"

namespace portunus::proxy {
namespace {

using Json = nlohmann::json;
using Row = std::vector<std::string>;

constexpr const char* kExplainHelp =
    "Examples:\n"
    "  portunus explain https://shop.example.org/cart\n"
    "  portunus explain http://localhost:8080/api/x -X POST -H 'X-Tenant: acme' --client 10.0.0.7\n"
    "\n"
    "Which site and route would take it, which pool and member would get it now, and why. By the\n"
    "tables of the running proxy; nothing is sent to a member, and nothing is counted.\n";

// May throw when the types are others.
std::string word(const Json& object, const char* key) {
  return printable(object.value(key, std::string()), false);
}

std::string outcome_text(const Json& answer) {
  const std::string outcome = word(answer, "outcome");
  const auto status = answer.value("status", 0U);
  if (outcome == "refuse") return fmt::format("{}: {}", status, word(answer, "reason"));
  if (outcome == "redirect") return fmt::format("{} to {}", status, word(answer, "location"));
  if (outcome == "respond") return fmt::format("{}, by the route itself", status);
  return "forwarded as " + word(answer, "upstream_path");
}

void add_pool(const Json& pool, std::vector<Row>& rows, std::string& members) {
  const double share = pool.value("share", 1.0);
  std::string name = word(pool, "name");
  if (share < 1) {
    name += fmt::format(" ({:.0f} % of the requests{})", share * 100,
                        pool.value("chosen", false) ? ", this one too" : "");
  }
  const std::string next = word(pool, "next");
  rows.push_back({"pool", name});
  rows.push_back({"", (next.empty() ? "" : next + ": ") + word(pool, "why")});
  members += '\n' + pools_text(pool.dump()).value_or("");
}

std::string text_of_answer(const Json& answer) {
  std::vector<Row> rows = {{"request", fmt::format("{} {}{}", word(answer, "method"),
                                                   word(answer, "host"), word(answer, "path"))},
                           {"listener", word(answer, "listener")}};
  for (const char* const part : {"site", "route"}) {
    if (const std::string name = word(answer, part); !name.empty()) rows.push_back({part, name});
  }
  rows.push_back({"answer", outcome_text(answer)});
  for (const Json& note : answer.value("notes", Json::array()))
    rows.push_back({"note", printable(note.get<std::string>(), false)});
  std::string members;
  for (const Json& pool : answer.value("pools", Json::array()))
    add_pool(pool, rows, members);
  return align(rows) + members;
}

}  // namespace

std::optional<std::string> explanation_text(std::string_view json) {
  const Json answer = Json::parse(json.begin(), json.end(), nullptr, false);
  if (!answer.is_object() || !answer.contains("outcome")) return std::nullopt;
  try {
    return text_of_answer(answer);
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

struct ExplainOptions::Parts {
  CLI::App* command = nullptr;
  AdminCall call;
  std::string url;
  std::string method = "GET";
  std::vector<std::string> fields;
  std::string client;
  std::string listener;
  std::string timeout;
};

ExplainOptions::ExplainOptions(CLI::App& app) : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  CLI::App& command = *app.add_subcommand("explain", "Say what would become of a request, and why");
  parts.command = &command;
  command.footer(kExplainHelp);
  command.add_option("URL", parts.url, "scheme://host[:port]/path")->type_name("")->required();
  command.add_option("-X,--method", parts.method, "instead of GET")->type_name("METHOD");
  command.add_option("-H,--header", parts.fields, "a header field; may be given several times")
      ->type_name("FIELD")
      ->allow_extra_args(false);
  command.add_option("--client", parts.client, "who is believed to ask (default 127.0.0.1)")
      ->type_name("IP");
  command.add_option("--listener", parts.listener, "where; default: by scheme and port")
      ->type_name("NAME");
  command.add_option("-c,--config", parts.call.config_file, "configuration file")
      ->type_name("FILE");
  command.add_option("--admin", parts.call.address, "admin address, instead of the file's")
      ->type_name("ADDRESS");
  command.add_option("--timeout", parts.timeout, "how long to wait for an answer (default 5s)")
      ->type_name("TIME");
  command.add_flag("--json", parts.call.as_json, "JSON instead of text");
}

ExplainOptions::~ExplainOptions() = default;

bool ExplainOptions::is_parsed() const {
  return parts_->command->parsed();
}

int ExplainOptions::run(CliOutput& output) const {
  const Parts& parts = *parts_;
  AdminCall call = parts.call;
  if (!read_duration("--timeout", parts.timeout, call.timeout, output)) return exit_usage;
  Json question{{"url", parts.url}, {"method", parts.method}, {"headers", parts.fields}};
  if (!parts.client.empty()) question["client"] = parts.client;
  if (!parts.listener.empty()) question["listener"] = parts.listener;
  return explain_request(call, question.dump(-1, ' ', false, Json::error_handler_t::replace),
                         output);
}

}  // namespace portunus::proxy
