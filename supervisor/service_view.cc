#include "supervisor/service_view.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "supervisor/replica_process.h"
#include "supervisor/service.h"

namespace portunus::supervisor {
namespace {

using Json = nlohmann::json;

// Of a probe's or an exit's detail; the log has all of it.
constexpr std::size_t kReasonMax = 160;
// With reasons of nothing but escapes, twice escaped, a part is below Channel::kPacketMax.
constexpr std::size_t kReplicasPerPart = 48;

const char* state_of(const Service& service, std::size_t ready) {
  if (service.is_stopped()) return "stopped";
  if (ready >= service.desired()) return "up";
  return ready > 0 ? "degraded" : "down";
}

Json to_json(const ReplicaView& replica) {
  Json out{{"replica", replica.number}, {"state", replica.state}, {"restarts", replica.restarts}};
  if (replica.pid != 0) out["pid"] = replica.pid;
  if (replica.port != 0) out["port"] = replica.port;
  if (replica.started_us != 0) out["started_us"] = replica.started_us;
  if (replica.next_start_us != 0) out["next_start_us"] = replica.next_start_us;
  if (!replica.waits_for.empty()) out["waits_for"] = replica.waits_for;
  if (!replica.last_reason.empty()) out["last_reason"] = replica.last_reason;
  if (replica.memory_bytes != 0) out["memory_bytes"] = replica.memory_bytes;
  if (replica.cpu_us != 0) out["cpu_us"] = replica.cpu_us;
  return out;
}

Json to_json(const ServiceView& service, std::span<const ReplicaView> replicas) {
  Json out{{"name", service.name},        {"state", service.state},
           {"desired", service.desired},  {"min", service.replicas_min},
           {"max", service.replicas_max}, {"rolling", service.is_rolling},
           {"restarts", service.restarts}};
  if (!service.refusal.empty()) out["refusal"] = service.refusal;
  if (!service.last_scaling.empty()) out["last_scaling"] = service.last_scaling;
  if (service.is_scaling) {
    const ScalingCounts& counts = service.scalings;
    out["scalings"] = {counts.up, counts.down, counts.dry_up, counts.dry_down};
  }
  Json& list = out["replicas"] = Json::array();
  for (const ReplicaView& replica : replicas)
    list.push_back(to_json(replica));
  return out;
}

std::string dump_view(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// These may throw.
ReplicaView replica_from(const Json& in) {
  ReplicaView replica;
  in.at("replica").get_to(replica.number);
  in.at("state").get_to(replica.state);
  replica.pid = in.value("pid", replica.pid);
  replica.port = in.value("port", replica.port);
  replica.started_us = in.value("started_us", replica.started_us);
  replica.next_start_us = in.value("next_start_us", replica.next_start_us);
  replica.waits_for = in.value("waits_for", "");
  replica.restarts = in.value("restarts", replica.restarts);
  replica.last_reason = in.value("last_reason", "");
  replica.memory_bytes = in.value("memory_bytes", replica.memory_bytes);
  replica.cpu_us = in.value("cpu_us", replica.cpu_us);
  return replica;
}

ServiceView service_from(const Json& in) {
  ServiceView service;
  in.at("name").get_to(service.name);
  in.at("state").get_to(service.state);
  in.at("desired").get_to(service.desired);
  in.at("min").get_to(service.replicas_min);
  in.at("max").get_to(service.replicas_max);
  in.at("rolling").get_to(service.is_rolling);
  service.refusal = in.value("refusal", "");
  service.last_scaling = in.value("last_scaling", "");
  if (in.contains("scalings")) {
    const Json& counts = in.at("scalings");
    service.is_scaling = true;
    service.scalings = {counts.at(0), counts.at(1), counts.at(2), counts.at(3)};
  }
  service.restarts = counts_from(in.at("restarts").get<std::vector<std::uint64_t>>());
  for (const Json& replica : in.at("replicas"))
    service.replicas.push_back(replica_from(replica));
  return service;
}

}  // namespace

ServiceView view_of(const Service& service, bool with_usage) {
  ServiceView view;
  view.name = service.name();
  view.desired = service.desired();
  view.replicas_min = service.definition().replicas_min;
  view.replicas_max = service.definition().replicas_max;
  view.is_rolling = service.is_rolling();
  view.refusal = service.refusal().substr(0, kReasonMax);
  view.last_scaling = service.scaling().last;
  view.scalings = service.scaling().counts;
  view.is_scaling = service.definition().scale.is_on();
  view.restarts = service.restarts();
  for (const ReplicaRecord* record : service.replicas()) {
    ReplicaView& replica = view.replicas.emplace_back();
    replica.number = record->number;
    replica.pid = static_cast<std::uint32_t>(record->pid);
    replica.port = record->port;
    replica.state = name_of(record->state);
    if (record->pid != 0) replica.started_us = record->started_us;
    if (record->state == ReplicaState::waiting) replica.next_start_us = record->next_start_us;
    replica.waits_for = name_of(record->wait);
    replica.restarts = record->restarts;
    replica.last_reason = record->last_reason.substr(0, kReasonMax);
    if (!with_usage || record->pid == 0) continue;
    if (const auto usage = usage_of(*record)) {
      replica.memory_bytes = usage->memory_bytes;
      replica.cpu_us = usage->cpu_us;
    }
  }
  const auto ready = std::ranges::count(
      view.replicas, std::string_view(name_of(ReplicaState::running)), &ReplicaView::state);
  view.state = state_of(service, static_cast<std::size_t>(ready));
  return view;
}

std::string encode_views(std::span<const ServiceView> views) {
  Json out = Json::array();
  for (const ServiceView& view : views)
    out.push_back(to_json(view, view.replicas));
  return dump_view(out);
}

std::vector<std::string> encode_in_parts(std::span<const ServiceView> views) {
  std::vector<std::string> parts;
  Json part = Json::array();
  std::size_t room = kReplicasPerPart;
  for (const ServiceView& view : views) {
    std::span<const ReplicaView> left = view.replicas;
    do {
      const auto some = left.first(std::min(room - 1, left.size()));
      part.push_back(to_json(view, some));
      left = left.subspan(some.size());
      room -= some.size() + 1;  // a service takes the room of a replica
      if (room <= 1) {
        parts.push_back(dump_view(std::exchange(part, Json::array())));
        room = kReplicasPerPart;
      }
    } while (!left.empty());
  }
  if (!part.empty() || parts.empty()) parts.push_back(dump_view(part));
  return parts;
}

bool decode_views(std::string_view text, std::vector<ServiceView>& views) {
  const Json in = Json::parse(text, nullptr, false);
  if (!in.is_array()) return false;
  try {
    for (const Json& entry : in) {
      ServiceView view = service_from(entry);
      if (!views.empty() && views.back().name == view.name) {
        std::ranges::move(view.replicas, std::back_inserter(views.back().replicas));
      } else {
        views.push_back(std::move(view));
      }
    }
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace portunus::supervisor
