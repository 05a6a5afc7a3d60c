// `consul`: of the whole file, and of a pool.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "conf/consul_reader.h"
#include "conf/draft.h"
#include "conf/header_text.h"
#include "conf/model.h"
#include "conf/reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kAgentsMax = 16;
constexpr std::size_t kNameMax = 255;       // of services, tags, data centers; Consul's are shorter
constexpr std::size_t kFilterMax = 4096;    // of an expression
constexpr std::size_t kTokenMax = 1024;     // well below what a request's head may have
constexpr std::size_t kItemsMax = 64;       // tags, pairs of meta
constexpr std::uint16_t kAgentPort = 8500;  // in the clear

// Printable, so that nothing of it can end a line or a field.
bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

// ---- the agents ----

std::optional<Address> read_agent(Reader& reader, const Key& key, const Node& value) {
  const auto whole = reader.text(key, value);
  if (!whole) return std::nullopt;
  std::string_view text = *whole;
  if (text.starts_with("https:") || text.starts_with("unix:")) {
    reader.error(value.place, "`address`: TLS and Unix sockets to Consul come with a later version",
                 "http:// with the address of the agent on this machine");
    return std::nullopt;
  }
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with(kScheme)) text.remove_prefix(kScheme.size());
  if (text.ends_with('/')) text.remove_suffix(1);
  const bool has_port = text.starts_with('[') ? text.contains("]:") : text.contains(':');
  auto address = parse_address(has_port ? std::string(text)
                                        : std::string(text) + ":" + std::to_string(kAgentPort));
  if (!address) {
    reader.error(value.place, "`address`: " + address.error());
    return std::nullopt;
  }
  if (address->host == "localhost") address->host = "127.0.0.1";
  if (!is_ip_address(address->host)) {
    reader.error(value.place, "`address`: " + in_quotes(address->host) + " is not an IP address",
                 "agents are asked by address, so that a look-up of names cannot stop it");
    return std::nullopt;
  }
  return *std::move(address);
}

void read_agents(Reader& reader, const Key& key, const Node& value, void* object) {
  Consul& consul = *static_cast<Consul*>(object);
  consul.agents.clear();
  const auto items = reader.items(key, value);
  if (items.empty() || items.size() > kAgentsMax) {
    reader.error(value.place, "`address`: from 1 to " + std::to_string(kAgentsMax) + " agents");
  }
  for (const Node* item : items) {
    auto agent = read_agent(reader, key, *item);
    if (!agent) continue;
    if (std::ranges::count(consul.agents, *agent) > 0) {
      reader.error(item->place,
                   "`address`: " + in_quotes(format_address(*agent)) + " stands twice");
    } else {
      consul.agents.push_back(*std::move(agent));
    }
  }
}

// Nothing of its words is for messages, nor is its line.
void read_token(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.hide_line(value.place);
  const auto text = reader.secret(key, value);
  if (!text) return;
  if (text->starts_with("file:") && text->data() == value.text.data()) {
    reader.error(value.place, "`token`: a file is named by its absolute path",
                 "such as file:/etc/portunus/consul.token");
  } else if (text->size() > kTokenMax || !is_target_text(*text)) {
    reader.error(value.place,
                 "`token`: letters, digits and marks only, at most " + std::to_string(kTokenMax));
  } else {
    static_cast<Consul*>(object)->token = *text;
  }
}

// ---- the service of a pool ----

// A text that goes into a request to the agent.
template <auto kMember, std::size_t kMax = kNameMax>
void read_name(Reader& reader, const Key& key, const Node& value, void* object) {
  using Owner = typename MemberOf<decltype(kMember)>::Owner;
  const auto text = reader.text(key, value);
  if (!text) return;
  if (text->size() > kMax || !is_printable(*text)) {
    reader.error(value.place, '`' + std::string(key.name) + "`: printable characters, at most " +
                                  std::to_string(kMax));
  } else {
    static_cast<Owner*>(object)->*kMember = *text;
  }
}

void read_tags(Reader& reader, const Key& key, const Node& value, void* object) {
  ConsulService& service = *static_cast<ConsulService*>(object);
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (text->empty() || text->size() > kNameMax || !is_printable(*text)) {
      reader.error(item->place,
                   "`tags`: printable characters, from 1 to " + std::to_string(kNameMax));
    } else if (std::ranges::count(service.tags, *text) == 0) {
      service.tags.emplace_back(*text);
    }
  }
  if (service.tags.size() > kItemsMax)
    reader.error(value.place, "`tags`: at most " + std::to_string(kItemsMax));
}

void read_node_meta(Reader& reader, const Key& key, const Node& value, void* object) {
  ConsulService& service = *static_cast<ConsulService*>(object);
  for (const auto& [name, item] : reader.entries(key, value)) {
    const Key pair{.name = name->text, .type = Type::text};
    const auto text = reader.text(pair, *item);
    if (!text) continue;
    const bool is_good = name->text.size() <= kNameMax && text->size() <= kNameMax &&
                         is_printable(name->text) && is_printable(*text) &&
                         !name->text.contains(':');
    if (is_good) {
      service.node_meta.emplace_back(name->text, *text);
    } else {
      reader.error(name->place, "`node_meta`: printable characters, at most " +
                                    std::to_string(kNameMax) + ", and no `:` in a name");
    }
  }
  if (service.node_meta.size() > kItemsMax)
    reader.error(value.place, "`node_meta`: at most " + std::to_string(kItemsMax));
}

void read_passing_only(Reader& reader, const Key& key, const Node& value, void* object) {
  bool is_on = false;
  reader.read(key, value, is_on);
  if (is_on) static_cast<ConsulService*>(object)->warning = ConsulWarning::unusable;
}

constexpr std::array kWarnings{"half_weight"sv, "consul_weight"sv, "unusable"sv};
constexpr std::uint64_t kStaleMax = 3'600'000;

constexpr auto kConsulKeys = std::to_array<Key>({
    {.name = "address",
     .type = Type::list,
     .read = read_agents,
     .initial = "http://127.0.0.1:8500",
     .doc = "The agent on this machine, by IP address. Of several the next one is asked when one "
            "does not answer."},
    {.name = "token",
     .type = Type::text,
     .read = read_token,
     .doc = "The ACL token: `service:read` and `node:read` for what pools name. `file:/path` is "
            "what that file holds; a change of it is taken over."},
    {.name = "datacenter",
     .type = Type::text,
     .read = read_name<&Consul::datacenter>,
     .initial = "\"\"",
     .doc = "The data center of pools that name none; empty = the agent's own."},
});
constexpr Section kConsul{"`consul`", kConsulKeys, {}};

constexpr auto kServiceKeys = std::to_array<Key>({
    {.name = "service",
     .type = Type::text,
     .read = read_name<&ConsulService::service>,
     .doc = "The name of the service.",
     .is_required = true},
    {.name = "tags",
     .type = Type::list,
     .read = read_tags,
     .initial = "[]",
     .doc = "Instances that have all of these."},
    {.name = "node_meta",
     .type = Type::pairs,
     .read = read_node_meta,
     .doc = "Instances on nodes with all of this meta data, `name: value`."},
    {.name = "filter",
     .type = Type::text,
     .read = read_name<&ConsulService::filter, kFilterMax>,
     .initial = "\"\"",
     .doc = "Instances for which this expression of Consul's holds, such as "
            "`Service.Meta.version == \"2\"`."},
    {.name = "passing_only",
     .type = Type::boolean,
     .read = read_passing_only,
     .initial = "false",
     .doc = "Instances with a warning get no requests: the same as `warning: unusable`."},
    {.name = "warning",
     .type = Type::choice,
     .read = field<&ConsulService::warning>,
     .initial = "half_weight",
     .doc = "What an instance with a warning gets: `half_weight` = half of what it gets otherwise; "
            "`consul_weight` = what it was registered with (`Weights.Warning`); `unusable` = "
            "nothing.",
     .choices = kWarnings},
    {.name = "datacenter",
     .type = Type::text,
     .read = read_name<&ConsulService::datacenter>,
     .initial = "\"\"",
     .doc = "Where the service is; empty = as `consul.datacenter` says."},
    {.name = "namespace",
     .type = Type::text,
     .read = read_name<&ConsulService::name_space>,
     .initial = "\"\"",
     .doc = "Of Consul Enterprise; empty = the token's."},
    {.name = "partition",
     .type = Type::text,
     .read = read_name<&ConsulService::partition>,
     .initial = "\"\"",
     .doc = "Of Consul Enterprise; empty = the agent's."},
    {.name = "near",
     .type = Type::text,
     .read = read_name<&ConsulService::near>,
     .initial = "\"\"",
     .doc = "A node, or `_agent`: Consul sorts by the way to there. Portunus' balancing does not "
            "look at the order."},
    {.name = "stale",
     .type = Type::duration,
     .read = field<&ConsulService::stale>,
     .initial = "0s",
     .doc = "Any server of Consul may answer, with what is at most so old: it goes easy on the "
            "leader. 0 = the leader's word.",
     .max = kStaleMax},
});
constexpr Section kConsulService{"`consul` of a pool", kServiceKeys, {}};

}  // namespace

const Section& consul_section() {
  return kConsul;
}

const Section& consul_service_section() {
  return kConsulService;
}

void read_consul(Reader& reader, const Key& key, const Node& value, void* object) {
  Consul& consul = static_cast<Draft*>(object)->model.consul;
  if (value.kind == NodeKind::scalar || value.kind == NodeKind::sequence) {
    read_agents(reader, kConsulKeys.front(), value, &consul);
  } else {
    reader.read_section(*key.section, value, &consul);
  }
}

void read_consul_service(Reader& reader, const Key& key, const Node& value, void* object) {
  ConsulService& service = static_cast<std::optional<ConsulService>*>(object)->emplace();
  if (value.kind == NodeKind::scalar) {
    read_name<&ConsulService::service>(reader, kServiceKeys.front(), value, &service);
  } else {
    reader.read_section(*key.section, value, &service);
  }
}

}  // namespace portunus::conf
