#include "supervisor/resume.h"

#include <nlohmann/json.hpp>

namespace portunus::supervisor {
namespace {

using Json = nlohmann::json;

Json to_json(const std::vector<OpenSocket>& sockets) {
  Json list = Json::array();
  for (const OpenSocket& socket : sockets)
    list.push_back({{"address", socket.address.text()}, {"descriptor", socket.descriptor}});
  return list;
}

std::vector<OpenSocket> to_sockets(const Json& list) {
  std::vector<OpenSocket> sockets;
  for (const Json& entry : list) {
    sockets.push_back({net::Address::parse(entry.at("address").get<std::string>()),
                       entry.at("descriptor").get<int>()});
  }
  return sockets;
}

Json to_json(const ReplicaRecord& record) {
  Json object{
      {"number", record.number},
      {"port", record.port},
      {"state", static_cast<int>(record.state)},
      {"goal", static_cast<int>(record.goal)},
      {"pid", record.pid},
      {"group", record.group},
      {"life", record.life},
      {"restarts", record.restarts},
      {"strikes", record.strikes},
      {"excused", record.excused},
      {"was_good", record.was_good},
      {"is_on_purpose", record.is_on_purpose},
      {"is_held_up", false},  // a supervisor before this one wants it
      {"wait", static_cast<int>(record.wait)},
      {"started_us", record.started_us},
      {"started_ns", record.started_ns},
      {"sick_since_ns", record.sick_since_ns},
      {"due_ns", record.due_ns},
      {"next_start_us", record.next_start_us},
      {"output", record.output},
      {"cgroup", record.cgroup},
      {"oom_kills", record.oom_kills},
      {"is_out_of_memory", record.is_out_of_memory},
      {"sick_detail", record.sick_detail},
      {"last_reason", record.last_reason},
      {"exit_status", record.last_exit.status},
      {"exit_signal", record.last_exit.signal},
      {"definition", encode(record.definition)},
  };
  if (record.cause) {
    object["cause"] = {{"reason", static_cast<int>(record.cause->reason)},
                       {"detail", record.cause->detail}};
  }
  return object;
}

conf::Service definition_of(const Json& object, const char* key) {
  return decode_service(object.at(key).get<std::string>());
}

ReplicaRecord to_record(const Json& object) {
  ReplicaRecord record;
  object.at("number").get_to(record.number);
  object.at("port").get_to(record.port);
  record.state = static_cast<ReplicaState>(object.at("state").get<int>());
  record.goal = static_cast<ReplicaRecord::Goal>(object.at("goal").get<int>());
  object.at("pid").get_to(record.pid);
  object.at("group").get_to(record.group);
  object.at("life").get_to(record.life);
  object.at("restarts").get_to(record.restarts);
  object.at("strikes").get_to(record.strikes);
  object.at("excused").get_to(record.excused);
  object.at("was_good").get_to(record.was_good);
  object.at("is_on_purpose").get_to(record.is_on_purpose);
  record.wait = static_cast<ReplicaWait>(object.value("wait", 0));
  object.at("started_us").get_to(record.started_us);
  object.at("started_ns").get_to(record.started_ns);
  object.at("sick_since_ns").get_to(record.sick_since_ns);
  object.at("due_ns").get_to(record.due_ns);
  object.at("next_start_us").get_to(record.next_start_us);
  object.at("output").get_to(record.output);
  object.at("cgroup").get_to(record.cgroup);
  object.at("oom_kills").get_to(record.oom_kills);
  object.at("is_out_of_memory").get_to(record.is_out_of_memory);
  object.at("sick_detail").get_to(record.sick_detail);
  object.at("last_reason").get_to(record.last_reason);
  object.at("exit_status").get_to(record.last_exit.status);
  object.at("exit_signal").get_to(record.last_exit.signal);
  record.definition = definition_of(object, "definition");
  if (object.contains("cause")) {
    const Json& cause = object.at("cause");
    record.cause =
        RestartCause{static_cast<RestartReason>(cause.at("reason").get<int>()), cause.at("detail")};
  }
  return record;
}

Json to_json(const SavedService& service) {
  Json replicas = Json::array();
  for (const ReplicaRecord& record : service.replicas)
    replicas.push_back(to_json(record));
  return {
      {"definition", encode(service.definition)},
      {"proven", encode(service.proven)},
      {"desired", service.desired},
      {"last_life", service.last_life},
      {"is_scaled", service.is_scaled},
      {"is_stopped", service.is_stopped},
      {"is_removed", service.is_removed},
      {"scaled_up", service.scaling.counts.up},
      {"scaled_down", service.scaling.counts.down},
      {"scaled_dry_up", service.scaling.counts.dry_up},
      {"scaled_dry_down", service.scaling.counts.dry_down},
      {"scaled_last", service.scaling.last},
      {"scaling_held_until_ms", service.scaling.held_until_ms},
      {"is_scaling_ours", service.scaling.is_ours},
      {"restarts", service.restarts},
      {"recent_restarts_ms", service.recent_restarts_ms},
      {"replicas", std::move(replicas)},
  };
}

// A supervisor before this one may not have known it.
SavedScaling to_scaling(const Json& object) {
  SavedScaling scaling;
  scaling.counts = {object.value("scaled_up", std::uint64_t{0}),
                    object.value("scaled_down", std::uint64_t{0}),
                    object.value("scaled_dry_up", std::uint64_t{0}),
                    object.value("scaled_dry_down", std::uint64_t{0})};
  scaling.last = object.value("scaled_last", "");
  scaling.held_until_ms = object.value("scaling_held_until_ms", std::uint64_t{0});
  scaling.is_ours = object.value("is_scaling_ours", false);
  return scaling;
}

SavedService to_saved(const Json& object) {
  SavedService service;
  service.definition = definition_of(object, "definition");
  service.proven = definition_of(object, "proven");
  object.at("desired").get_to(service.desired);
  object.at("last_life").get_to(service.last_life);
  object.at("is_scaled").get_to(service.is_scaled);
  object.at("is_stopped").get_to(service.is_stopped);
  object.at("is_removed").get_to(service.is_removed);
  service.scaling = to_scaling(object);
  service.restarts = counts_from(object.at("restarts").get<std::vector<std::uint64_t>>());
  object.at("recent_restarts_ms").get_to(service.recent_restarts_ms);
  for (const Json& entry : object.at("replicas"))
    service.replicas.push_back(to_record(entry));
  return service;
}

Resume to_resume(const Json& object) {
  Resume resume;
  auto plan = decode_plan(object.at("plan").get<std::string>());
  if (plan) resume.plan = std::move(*plan);
  resume.sockets = to_sockets(object.at("sockets"));
  resume.inherited = to_sockets(object.at("inherited"));
  for (const Json& entry : object.at("proxies"))
    resume.proxies.push_back({entry.at("pid"), entry.at("channel"), entry.at("started_ns")});
  for (const Json& entry : object.at("services"))
    resume.services.push_back(to_saved(entry));
  object.at("restarts").get_to(resume.restarts);
  resume.good_files = {object.value("good_files", -1), object.value("good_hash", "")};
  resume.proven_files = {object.value("proven_files", -1), object.value("proven_hash", "")};
  resume.upgrade_client = object.value("upgrade_client", -1);
  resume.memory = object.value("memory", -1);  // one without it goes on all the same
  resume.owes_reload = object.value("owes_reload", false);
  return resume;
}

}  // namespace

std::string encode(const Resume& resume) {
  Json proxies = Json::array();
  for (const SavedProxy& proxy : resume.proxies) {
    proxies.push_back(
        {{"pid", proxy.pid}, {"channel", proxy.channel}, {"started_ns", proxy.started_ns}});
  }
  Json services = Json::array();
  for (const SavedService& service : resume.services)
    services.push_back(to_json(service));
  const Json object{
      {"plan", encode(resume.plan)},
      {"sockets", to_json(resume.sockets)},
      {"inherited", to_json(resume.inherited)},
      {"proxies", std::move(proxies)},
      {"services", std::move(services)},
      {"restarts", resume.restarts},
      {"good_files", resume.good_files.descriptor},
      {"good_hash", resume.good_files.hash},
      {"proven_files", resume.proven_files.descriptor},
      {"proven_hash", resume.proven_files.hash},
      {"upgrade_client", resume.upgrade_client},
      {"memory", resume.memory},
      {"owes_reload", resume.owes_reload},
  };
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::expected<Resume, std::string> decode_resume(std::string_view text) {
  try {
    return to_resume(Json::parse(text));
  } catch (const Json::exception& error) {
    return std::unexpected(std::string("what was handed over cannot be read: ") + error.what());
  }
}

}  // namespace portunus::supervisor
