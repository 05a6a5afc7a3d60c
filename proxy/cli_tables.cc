#include "proxy/cli_tables.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace portunus::proxy {
namespace {

using Json = nlohmann::json;

std::optional<Json> parse_object(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return {};
  return printable(found->get_ref<const std::string&>(), false);
}

bool flag_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

std::uint64_t count_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

double number_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : 0;
}

const Json& member_of(const Json& json, const char* key) {
  static const Json none;
  const auto found = json.find(key);
  return found == json.end() ? none : *found;
}

// "2025-01-31T08:09:10.123456Z" -> "2025-01-31 08:09:10"
std::string time_of(const Json& json, const char* key) {
  constexpr std::size_t kToSeconds = 19;
  std::string time = text_of(json, key).substr(0, kToSeconds);
  std::ranges::replace(time, 'T', ' ');
  return time.empty() ? "-" : time;
}

using Row = std::vector<std::string>;

std::string probe_text(const Json& probe) {
  if (!probe.is_object()) return "-";
  const std::string kind = text_of(probe, "kind");
  if (kind == "off") return "off";
  if (!probe.contains("at")) return kind + ": none yet";
  std::string text = kind + (flag_of(probe, "ok") ? ": ok" : ": failed");
  if (count_of(probe, "status") != 0) text += fmt::format(" {}", count_of(probe, "status"));
  text += fmt::format(" {:.1f} ms", number_of(probe, "duration_s") * 1000);
  const std::string detail = text_of(probe, "detail");
  if (!detail.empty() && !flag_of(probe, "ok")) text += ", " + detail;
  return text;
}

void add_rows(const Json& pool, std::vector<Row>& rows) {
  const std::string name = text_of(pool, "name");
  const Json& members = member_of(pool, "members");
  if (!members.is_array()) return;
  for (const Json& member : members) {
    if (!member.is_object()) continue;
    const std::string backup = flag_of(member, "backup") ? " (backup)" : "";
    const std::string reason = text_of(member, "reason");
    std::string state = text_of(member, "state");
    if (state == "down" && flag_of(member, "selectable")) state += " (in use)";
    rows.push_back({name, text_of(member, "upstream") + backup, state, time_of(member, "since"),
                    std::to_string(count_of(member, "weight")),
                    std::to_string(count_of(member, "in_flight")),
                    std::to_string(count_of(member, "connections")),
                    probe_text(member_of(member, "probe")), reason.empty() ? "-" : reason});
  }
}

}  // namespace

std::string align(std::span<const std::vector<std::string>> rows) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string printable(std::string_view text, bool keep_lines) {
  std::string out(text);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && !(keep_lines && c == '\n')) || byte == 0x7f) c = '?';
  }
  // The C1 controls, U+0080 to U+009F, are two bytes in UTF-8.
  for (std::size_t i = 0; i + 1 < out.size(); ++i) {
    if (out[i] == '\xc2' && static_cast<unsigned char>(out[i + 1]) < 0xa0)
      out[i] = out[i + 1] = '?';
  }
  return out;
}

std::optional<std::string> status_text(std::string_view json) {
  const std::optional<Json> status = parse_object(json);
  if (!status) return std::nullopt;
  const Json& config = member_of(*status, "config");
  if (!config.is_object()) return std::nullopt;
  const std::string state = text_of(*status, "state");
  const std::string reason = text_of(*status, "reason");
  const bool says_more = !reason.empty() && reason != state;
  std::vector<Row> rows = {
      {"state", state + (says_more ? " (" + reason + ")" : "")},
      {"version", text_of(*status, "version") + " (" + text_of(*status, "revision") + ")"},
      {"process", fmt::format("{}, {} threads, since {} UTC", count_of(*status, "pid"),
                              count_of(*status, "threads"), time_of(*status, "started"))},
      {"configuration", text_of(config, "file")},
      {"generation", fmt::format("{}, loaded {} UTC, {} alive", count_of(config, "generation"),
                                 time_of(config, "loaded"), count_of(config, "generations_alive"))},
      {"reloads", fmt::format("{} done, {} refused", count_of(config, "reloads_ok"),
                              count_of(config, "reloads_failed"))},
  };
  if (text_of(config, "source") == "last_good")
    rows.push_back({"runs on", "the last configuration that was good, not on the files"});
  if (!flag_of(config, "last_reload_ok")) {
    rows.push_back({"last reload", "refused: " + text_of(config, "last_reload_error")});
  }
  rows.push_back({"serves", fmt::format("{} sites, {} routes, {} client connections",
                                        count_of(*status, "sites"), count_of(*status, "routes"),
                                        count_of(*status, "connections"))});
  const Json& listeners = member_of(*status, "listeners");
  if (listeners.is_array()) {
    for (const Json& listener : listeners) {
      if (!listener.is_object()) continue;
      rows.push_back(
          {"listener", text_of(listener, "address") + " (" + text_of(listener, "name") + ")"});
    }
  }
  return align(rows);
}

std::optional<std::string> pools_text(std::string_view json) {
  const std::optional<Json> answer = parse_object(json);
  if (!answer) return std::nullopt;
  std::vector<Row> rows = {{"POOL", "UPSTREAM", "STATE", "SINCE (UTC)", "WEIGHT", "IN FLIGHT",
                            "CONNECTIONS", "LAST PROBE", "REASON"}};
  const Json& pools = member_of(*answer, "pools");
  if (pools.is_array()) {
    for (const Json& pool : pools) {
      if (pool.is_object()) add_rows(pool, rows);
    }
  } else if (answer->contains("members")) {
    add_rows(*answer, rows);
  } else {
    return std::nullopt;
  }
  return align(rows);
}

std::optional<std::string> certificates_text(std::string_view json) {
  constexpr std::int64_t kDay = std::int64_t{24} * 3600;
  const std::optional<Json> answer = parse_object(json);
  if (!answer) return std::nullopt;
  const Json& certificates = member_of(*answer, "certificates");
  if (!certificates.is_array()) return std::nullopt;
  std::vector<Row> rows = {{"NAMES", "ENDS (UTC)", "IN", "KEY", "ISSUER", "SOURCE"}};
  for (const Json& each : certificates) {
    if (!each.is_object()) continue;
    std::string names;
    const Json& all = member_of(each, "names");
    for (const Json& name : all.is_array() ? all : Json::array()) {
      if (name.is_string())
        names += (names.empty() ? "" : ", ") + printable(name.get_ref<const std::string&>(), false);
    }
    const auto left = static_cast<std::int64_t>(number_of(each, "expires_in_s"));
    const std::string file = text_of(each, "file");
    rows.push_back({names.empty() ? "-" : names, time_of(each, "not_after"),
                    left <= 0 ? "ended" : fmt::format("{}d", left / kDay), text_of(each, "key"),
                    text_of(each, "issuer"), file.empty() ? text_of(each, "source") : file});
  }
  std::string out = align(rows);
  const std::string root = text_of(*answer, "root");
  if (!root.empty()) out += "\nClients that trust " + root + " trust what is `internal`.\n";
  return out;
}

std::optional<std::string> member_text(std::string_view json) {
  const std::optional<Json> member = parse_object(json);
  if (!member || !member->contains("upstream")) return std::nullopt;
  const std::uint64_t weight = count_of(*member, "weight");
  const std::uint64_t configured = count_of(*member, "configured_weight");
  return fmt::format("{}/{}: {}, weight {}{}, {} in flight\n", text_of(*member, "pool"),
                     text_of(*member, "upstream"), text_of(*member, "state"), weight,
                     weight == configured ? "" : fmt::format(" (configured: {})", configured),
                     count_of(*member, "in_flight"));
}

std::optional<ReloadText> reload_text(std::string_view json) {
  const std::optional<Json> answer = parse_object(json);
  if (!answer || !answer->contains("ok")) return std::nullopt;
  ReloadText text;
  text.ok = flag_of(*answer, "ok");
  const auto diagnostics = answer->find("text");
  if (diagnostics != answer->end() && diagnostics->is_string()) {
    text.diagnostics = printable(diagnostics->get_ref<const std::string&>(), true);
    if (!text.diagnostics.empty() && !text.diagnostics.ends_with('\n')) text.diagnostics += '\n';
  }
  const std::uint64_t generation = count_of(*answer, "generation");
  const std::string file = text_of(*answer, "file");
  text.outcome =
      text.ok
          ? fmt::format("reloaded: generation {} after {:.3f} s{}", generation,
                        number_of(*answer, "duration_s"), file.empty() ? "" : " from " + file)
          : fmt::format("refused: {}; generation {} stays", text_of(*answer, "error"), generation);
  return text;
}

std::string error_text(std::string_view json) {
  const std::optional<Json> answer = parse_object(json);
  return answer ? text_of(*answer, "message") : std::string();
}

}  // namespace portunus::proxy
