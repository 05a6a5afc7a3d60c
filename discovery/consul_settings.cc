#include "discovery/consul_settings.h"

#include <fmt/core.h>

namespace portunus::discovery {
namespace {

// Lengths go ahead of texts, so that no two queries have one key.
void append(std::string& key, const char* name, const std::string& text) {
  if (!text.empty()) key += fmt::format(",{}={}:{}", name, text.size(), text);
}

const char* name_of(WarningRule rule) {
  switch (rule) {
    case WarningRule::consul_weight:
      return "consul_weight";
    case WarningRule::half_weight:
      return "";
    case WarningRule::unusable:
      return "unusable";
  }
  return "";
}

}  // namespace

std::string key_of(const ServiceQuery& query) {
  const ServiceQuery plain{};
  std::string key;
  for (const std::string& tag : query.tags)
    append(key, "tag", tag);
  for (const auto& [name, value] : query.node_meta) {
    append(key, "meta", name);
    append(key, "is", value.empty() ? "-" : value);
  }
  append(key, "filter", query.filter);
  append(key, "dc", query.datacenter);
  append(key, "ns", query.name_space);
  append(key, "partition", query.partition);
  append(key, "near", query.near);
  append(key, "warning", name_of(query.warning));
  if (query.may_be_stale) append(key, "stale", std::to_string(query.stale_max_ms));
  const GuardRule& guard = query.guard;
  if (!(guard == plain.guard)) {
    append(key, "guard",
           fmt::format("{} {} {} {} {} {}", guard.is_on, guard.loss_percent, guard.loss_min,
                       guard.confirm_after_ms, guard.confirm_empty_ms, guard.alive_factor));
  }
  return query.service + key;
}

}  // namespace portunus::discovery
