#include "supervisor/message.h"

#include <array>

#include <nlohmann/json.hpp>

namespace portunus::supervisor {
namespace {

using Json = nlohmann::json;

constexpr std::array<const char*, 25> kKinds{
    "reload",   "reopen_logs", "stop",          "dump",    "retire",         "sockets", "prepared",
    "settled",  "members",     "services_view", "ordered", "count_requests", "ready",   "reloading",
    "stopping", "alive",       "prepare",       "applied", "abandoned",      "health",  "drained",
    "good",     "order",       "remember",      "requests"};

std::optional<Kind> kind_of(const std::string& word) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (word == kKinds[i]) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

// May throw.
Message from_json(const Json& object, Kind kind) {
  Message message(kind);
  message.text = object.value("text", "");
  message.service = object.value("service", "");
  message.port = object.value("port", std::uint16_t{0});
  message.life = object.value("life", std::uint32_t{0});
  message.is_good = object.value("good", false);
  message.count = object.value("count", std::uint32_t{0});
  message.id = object.value("id", std::uint32_t{0});
  message.numbers = object.value("numbers", std::vector<std::uint32_t>{});
  message.addresses = object.value("addresses", std::vector<std::string>{});
  for (const Json& service : object.value("services", Json::array())) {
    ServiceReplicas replicas{service.at("name"), {}};
    for (const Json& member : service.at("members")) {
      replicas.members.push_back({member.at("port"), member.value("life", std::uint32_t{0}),
                                  member.value("draining", false)});
    }
    message.services.push_back(std::move(replicas));
  }
  return message;
}

}  // namespace

std::string encode(const Message& message) {
  Json object{{"is", kKinds.at(static_cast<std::size_t>(message.kind))}};
  if (!message.text.empty()) object["text"] = message.text;
  if (!message.service.empty()) object["service"] = message.service;
  if (message.port != 0) object["port"] = message.port;
  if (message.life != 0) object["life"] = message.life;
  if (message.is_good) object["good"] = true;
  if (message.count != 0) object["count"] = message.count;
  if (message.id != 0) object["id"] = message.id;
  if (!message.numbers.empty()) object["numbers"] = message.numbers;
  if (!message.addresses.empty()) object["addresses"] = message.addresses;
  for (const ServiceReplicas& service : message.services) {
    Json members = Json::array();
    for (const ReplicaMember& member : service.members) {
      Json entry{{"port", member.port}, {"life", member.life}};
      if (member.is_draining) entry["draining"] = true;
      members.push_back(std::move(entry));
    }
    object["services"].push_back({{"name", service.service}, {"members", std::move(members)}});
  }
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Message> decode(std::string_view text) {
  const Json object = Json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  try {
    const auto kind = kind_of(object.value("is", ""));
    if (!kind) return std::nullopt;
    return from_json(object, *kind);
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace portunus::supervisor
