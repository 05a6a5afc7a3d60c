#include "supervisor/plan.h"

#include <nlohmann/json.hpp>

namespace portunus::conf {

// Found by the JSON library through the types' namespace; names are those of the fields.
NLOHMANN_JSON_SERIALIZE_ENUM(RestartPolicy,
                             {{RestartPolicy::always, "always"},
                              {RestartPolicy::on_failure, "on_failure"},
                              {RestartPolicy::never, "never"}})
NLOHMANN_JSON_SERIALIZE_ENUM(
    ProbeKind, {{ProbeKind::off, "off"}, {ProbeKind::tcp, "tcp"}, {ProbeKind::http, "http"}})

}  // namespace portunus::conf

namespace portunus::supervisor {
namespace {

using Json = nlohmann::json;

conf::Milliseconds ms(const Json& value) {
  return conf::Milliseconds(value.get<std::int64_t>());
}

Json to_json(const conf::Service& service) {
  Json environment = Json::array();
  for (const auto& [name, value] : service.environment)
    environment.push_back({name, value});
  return {
      {"name", service.name},
      {"command", service.command},
      {"replicas_min", service.replicas_min},
      {"replicas_max", service.replicas_max},
      {"scale_cpu_percent", service.scale.cpu_percent},
      {"scale_in_flight", service.scale.in_flight},
      {"scale_queue", service.scale.queue},
      {"scale_up_after_ms", service.scale.up_after.count()},
      {"scale_down_after_ms", service.scale.down_after.count()},
      {"scale_dry_run", service.scale.dry_run},
      {"ports_first", service.ports.first},
      {"ports_last", service.ports.last},
      {"is_in_pool", service.pool.has_value()},
      {"probe", service.health.kind},
      {"interval_ms", service.health.interval.count()},
      {"timeout_ms", service.health.timeout.count()},
      {"fall", service.health.fall},
      {"rise", service.health.rise},
      {"start_period_ms", service.start_period.count()},
      {"policy", service.restart.policy},
      {"backoff_min_ms", service.restart.backoff_min.count()},
      {"backoff_max_ms", service.restart.backoff_max.count()},
      {"max_in_window", service.restart.max_in_window},
      {"window_ms", service.restart.window.count()},
      {"stop_signal", service.stop.signal},
      {"grace_ms", service.stop.grace.count()},
      {"memory_bytes", service.limits.memory_bytes},
      {"cpu_percent", service.limits.cpu_percent},
      {"log_max_bytes", service.log.max_bytes},
      {"log_keep", service.log.keep},
      {"user", service.user},
      {"working_directory", service.working_directory},
      {"environment", std::move(environment)},
  };
}

// A supervisor before this one may not have known it.
conf::Scale to_scale(const Json& object) {
  conf::Scale scale;
  if (!object.contains("scale_dry_run")) return scale;
  object.at("scale_cpu_percent").get_to(scale.cpu_percent);
  object.at("scale_in_flight").get_to(scale.in_flight);
  object.at("scale_queue").get_to(scale.queue);
  scale.up_after = ms(object.at("scale_up_after_ms"));
  scale.down_after = ms(object.at("scale_down_after_ms"));
  object.at("scale_dry_run").get_to(scale.dry_run);
  return scale;
}

conf::Service to_service(const Json& object) {
  conf::Service service;
  object.at("name").get_to(service.name);
  object.at("command").get_to(service.command);
  object.at("replicas_min").get_to(service.replicas_min);
  object.at("replicas_max").get_to(service.replicas_max);
  service.scale = to_scale(object);
  object.at("ports_first").get_to(service.ports.first);
  object.at("ports_last").get_to(service.ports.last);
  // Which pool it is concerns the proxy alone.
  if (object.at("is_in_pool").get<bool>()) service.pool = 0;
  object.at("probe").get_to(service.health.kind);
  service.health.interval = ms(object.at("interval_ms"));
  service.health.timeout = ms(object.at("timeout_ms"));
  object.at("fall").get_to(service.health.fall);
  object.at("rise").get_to(service.health.rise);
  service.start_period = ms(object.at("start_period_ms"));
  object.at("policy").get_to(service.restart.policy);
  service.restart.backoff_min = ms(object.at("backoff_min_ms"));
  service.restart.backoff_max = ms(object.at("backoff_max_ms"));
  object.at("max_in_window").get_to(service.restart.max_in_window);
  service.restart.window = ms(object.at("window_ms"));
  object.at("stop_signal").get_to(service.stop.signal);
  service.stop.grace = ms(object.at("grace_ms"));
  object.at("memory_bytes").get_to(service.limits.memory_bytes);
  object.at("cpu_percent").get_to(service.limits.cpu_percent);
  object.at("log_max_bytes").get_to(service.log.max_bytes);
  object.at("log_keep").get_to(service.log.keep);
  object.at("user").get_to(service.user);
  object.at("working_directory").get_to(service.working_directory);
  for (const Json& entry : object.at("environment"))
    service.environment.emplace_back(entry.at(0), entry.at(1));
  return service;
}

Plan to_plan(const Json& object) {
  Plan plan;
  plan.resume_version = object.value("resume_version", std::uint32_t{0});
  object.at("hash").get_to(plan.hash);
  object.at("threads").get_to(plan.threads);
  for (const Json& entry : object.at("listeners"))
    plan.listeners.push_back({entry.at("what"), entry.at("address")});
  object.at("admin").get_to(plan.admin);
  object.at("user").get_to(plan.user);
  object.at("state").get_to(plan.state);
  object.at("has_authority").get_to(plan.has_authority);
  plan.has_sticky_key = object.value("has_sticky_key", false);  // programs of before have none
  plan.has_discovery = object.value("has_discovery", false);
  const Json& log = object.at("log");
  plan.log.level = static_cast<conf::LogLevel>(log.at("level").get<int>());
  plan.log.format = static_cast<conf::LogFormat>(log.at("format").get<int>());
  plan.log.output.kind = static_cast<conf::OutputKind>(log.at("output").get<int>());
  log.at("path").get_to(plan.log.output.path);
  object.at("announce_ms").get_to(plan.announce_ms);
  object.at("drain_ms").get_to(plan.drain_ms);
  for (const Json& entry : object.at("services"))
    plan.services.push_back(to_service(entry));
  return plan;
}

}  // namespace

std::string encode(const conf::Service& service) {
  return to_json(service).dump(-1, ' ', false, Json::error_handler_t::replace);
}

conf::Service decode_service(std::string_view text) {
  return to_service(Json::parse(text));
}

std::string encode(const Plan& plan) {
  Json listeners = Json::array();
  for (const PlannedListener& listener : plan.listeners)
    listeners.push_back({{"what", listener.what}, {"address", listener.address}});
  Json services = Json::array();
  for (const conf::Service& service : plan.services)
    services.push_back(to_json(service));
  const Json object{
      {"resume_version", plan.resume_version},
      {"hash", plan.hash},
      {"threads", plan.threads},
      {"listeners", std::move(listeners)},
      {"admin", plan.admin},
      {"user", plan.user},
      {"state", plan.state},
      {"has_authority", plan.has_authority},
      {"has_sticky_key", plan.has_sticky_key},
      {"has_discovery", plan.has_discovery},
      {"log",
       {{"level", static_cast<int>(plan.log.level)},
        {"format", static_cast<int>(plan.log.format)},
        {"output", static_cast<int>(plan.log.output.kind)},
        {"path", plan.log.output.path}}},
      {"announce_ms", plan.announce_ms},
      {"drain_ms", plan.drain_ms},
      {"services", std::move(services)},
  };
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::expected<Plan, std::string> decode_plan(std::string_view text) {
  try {
    return to_plan(Json::parse(text));
  } catch (const Json::exception& error) {
    return std::unexpected(std::string("the plan cannot be read: ") + error.what());
  }
}

}  // namespace portunus::supervisor
