// The key `services`: programs that the supervisor keeps running. What one service says is checked
// here; what it shares with others, in validate_services.cc.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conf/draft.h"
#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/service_reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kReplicasMax = 1000;
constexpr std::size_t kNameBytesMax = 64;  // it becomes part of file names
constexpr std::string_view kPortsHint = "such as `ports: 9001-9010`";

// A service while it is read.
struct ServiceBody {
  Service service;
  ServiceDraft draft;
  Place port_word_place;  // of the first `{port}`
  Place scale_place;
};

ServiceBody& body_of(void* object) {
  return *static_cast<ServiceBody*>(object);
}

template <auto kMember>
void service_field(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, body_of(object).service.*kMember);
}

template <ReadFunction kRead, auto kMember>
void service_part(Reader& reader, const Key& key, const Node& value, void* object) {
  kRead(reader, key, value, &(body_of(object).service.*kMember));
}

// ---- what is run ----

// `{port}` and `{replica}`; other words of lower-case letters in braces are taken for mistakes.
void check_placeholders(Reader& reader, std::string_view text, Place place, ServiceBody& body) {
  for (std::size_t open = text.find('{'); open != std::string_view::npos; open = text.find('{')) {
    text.remove_prefix(open + 1);
    const std::size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz");
    if (end == 0 || end == std::string_view::npos || text[end] != '}') continue;
    const std::string_view word = text.substr(0, end);
    if (word == "port") {
      if (body.port_word_place.line == 0) body.port_word_place = place;
    } else if (word != "replica") {
      reader.error(place,
                   "`{" + std::string(word) +
                       "}` is unknown here: there are `{port}` and "
                       "`{replica}`",
                   "with a blank in the braces it is left as it is: { " + std::string(word) + " }");
    }
  }
}

void read_command(Reader& reader, const Key& key, const Node& value, void* object) {
  static constexpr Key kWord{.name = "command", .type = Type::text};
  ServiceBody& body = body_of(object);
  std::vector<std::string>& command = body.service.command;
  const bool is_list = value.kind == NodeKind::sequence;
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(is_list && !command.empty() ? kWord : key, *item);
    if (!text) return;
    check_placeholders(reader, *text, item->place, body);
    command.emplace_back(*text);
  }
  if (command.empty()) {
    reader.error(value.place, "`command` has no value", "the program and its words, as a list");
  } else if (!is_list) {
    command = {"/bin/sh", "-c", std::move(command.front())};
  }
}

bool is_variable_name(std::string_view name) {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && (name[0] < '0' || name[0] > '9') && std::ranges::all_of(name, is_word);
}

void read_environment(Reader& reader, const Key& key, const Node& value, void* object) {
  ServiceBody& body = body_of(object);
  for (const auto& [name, item] : reader.entries(key, value)) {
    if (!is_variable_name(name->text)) {
      reader.error(name->place,
                   '`' + std::string(name->text) + "` cannot be the name of a variable",
                   "letters, digits and `_`; no digit first");
      continue;
    }
    const Key variable{.name = name->text, .type = Type::text};
    const auto text = reader.secret(variable, *item);
    if (!text) continue;
    // A secret is nobody's pattern, and its words are not for messages.
    if (text->data() == item->text.data()) check_placeholders(reader, *text, item->place, body);
    body.service.environment.emplace_back(name->text, *text);
  }
}

void read_working_directory(Reader& reader, const Key& key, const Node& value, void* object) {
  if (const auto path = reader.folder(key, value))
    body_of(object).service.working_directory = *path;
}

// ---- how many, and where ----

constexpr auto kReplicasKeys = std::to_array<Key>({
    {.name = "min",
     .type = Type::integer,
     .read = service_field<&Service::replicas_min>,
     .initial = "1",
     .doc = "At the start; 0 = none until scaled.",
     .max = kReplicasMax},
    {.name = "max",
     .type = Type::integer,
     .read = service_field<&Service::replicas_max>,
     .doc = "As many as it can be scaled to; without it as `min`, but at least 1.",
     .min = 1,
     .max = kReplicasMax},
});
constexpr Section kReplicas{"`replicas`", kReplicasKeys, {}};

void read_replicas(Reader& reader, const Key& key, const Node& value, void* object) {
  ServiceBody& body = body_of(object);
  Service& service = body.service;
  if (value.kind == NodeKind::scalar) {
    static constexpr Key kCount{
        .name = "replicas", .type = Type::integer, .min = 1, .max = kReplicasMax};
    reader.read(kCount, value, service.replicas_min);
    service.replicas_max = service.replicas_min;
    return;
  }
  service.replicas_max = 0;
  reader.read_section(*key.section, value, object);
  const bool has_max =
      value.kind == NodeKind::mapping && find_key(value, kReplicasKeys[1].name) != nullptr;
  if (!has_max) service.replicas_max = std::max(service.replicas_min, 1U);
  if (service.replicas_max == 0) {
    service.replicas_max = kReplicasMax;  // reported
  } else if (service.replicas_min > service.replicas_max) {
    reader.error(value.place, "`replicas`: `min` is " + std::to_string(service.replicas_min) +
                                  ", above `max`, which is " +
                                  std::to_string(service.replicas_max));
  }
}

void read_ports(Reader& reader, const Key& key, const Node& value, void* object) {
  ServiceBody& body = body_of(object);
  body.draft.ports_place = value.place;
  const auto text = reader.text(key, value);
  if (!text) return;
  const std::size_t dash = text->find('-');
  const auto first = parse_integer(text->substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_integer(text->substr(dash + 1));
  if (!first || !last || *first == 0 || *last > 65535) {
    reader.error(value.place,
                 "`ports`: `" + std::string(*text) +
                     "`: " + "expected a range such as 9001-9010, or one port",
                 "ports are numbers from 1 to 65535");
  } else if (*first > *last) {
    reader.error(value.place,
                 "`ports`: `" + std::string(*text) + "`: " + "the lower port stands first");
  } else {
    body.service.ports = {static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
  }
}

void read_service_pool(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  if (text->empty()) {
    reader.error(value.place, "`pool` has no value");
    return;
  }
  body_of(object).draft.pool = {std::string(*text), value.place};
}

void service_health(Reader& reader, const Key& key, const Node& value, void* object) {
  ServiceBody& body = body_of(object);
  body.draft.has_health = true;
  body.draft.health_place = value.place;
  read_service_health(reader, key, value, &body.service);
}

void service_scale(Reader& reader, const Key& key, const Node& value, void* object) {
  body_of(object).scale_place = value.place;
  reader.read_section(*key.section, value, &body_of(object).service.scale);
}

// ---- the service ----

constexpr std::array kLaterServiceKeys{"register"sv};

// ---- rules between the keys of one service ----

void check_ports(Reader& reader, const ServiceBody& body) {
  const Service& service = body.service;
  const ServiceDraft& draft = body.draft;
  const bool names_port = body.port_word_place.line > 0;
  if (draft.ports_place.line == 0) {
    if (names_port) {
      reader.error(body.port_word_place, "`{port}` needs the key `ports`", std::string(kPortsHint));
    } else if (!draft.pool.name.empty()) {
      reader.error(draft.pool.place, "a service with a `pool` needs the key `ports`",
                   std::string(kPortsHint));
    } else if (draft.has_health && service.health.kind != ProbeKind::off) {
      reader.error(body.draft.health_place, "a service with `health` needs the key `ports`",
                   std::string(kPortsHint));
    }
    return;
  }
  const std::uint32_t size = service.ports.size();
  if (size == 0) return;  // reported
  const std::string too_few =
      "`ports`: " + std::to_string(size) + (size == 1 ? " port" : " ports") + " for up to " +
      std::to_string(service.replicas_max) + (service.replicas_max == 1 ? " replica" : " replicas");
  if (size < service.replicas_max) {
    reader.error(draft.ports_place, too_few, "one for each, and one more for rolling restarts");
  } else if (size == service.replicas_max && (size > 1 || names_port)) {
    // A lone replica that does not name its port has a fixed one: then there is nothing to advise.
    reader.warning(draft.ports_place, too_few + ": a rolling restart has none to spare",
                   "with one more it starts a new replica before it stops the old one");
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-function-size): one table, a row for each key
const Section& service_section() {
  static const auto keys = std::to_array<Key>({
      {.name = "command",
       .type = Type::list,
       .read = read_command,
       .doc = "The program and its words. A single value is run as `/bin/sh -c VALUE`. `{port}` "
              "and `{replica}` (from 0) are filled in.",
       .is_required = true},
      {.name = "replicas",
       .type = Type::section,
       .read = read_replicas,
       .doc = "Processes of it. A single number is both `min` and `max`; one without the key.",
       .section = &kReplicas,
       .also = kAlsoText},
      {.name = "scale",
       .type = Type::section,
       .read = service_scale,
       .doc = "Replicas come and go with the load, within `replicas`. Without the key only "
              "`portunus scale` changes their number.",
       .section = &scale_section()},
      {.name = "ports",
       .type = Type::text,
       .read = read_ports,
       .doc = "What `{port}` is taken from, for each replica its own: `9001-9010`, or one port. "
              "Needed with `{port}`, `pool` or `health`; at least as many as replicas, better one "
              "more."},
      {.name = "pool",
       .type = Type::text,
       .read = read_service_pool,
       .doc = "The pool that replicas join by themselves; it needs no `upstreams` then."},
      {.name = "health",
       .type = Type::section,
       .read = service_health,
       .doc = "Probes of the replicas, as for a pool; a sick one is restarted. Without the key as "
              "the `pool` has them, and without a pool none. `off` = none.",
       .section = &service_health_section(),
       .also = kAlsoText},
      {.name = "restart",
       .type = Type::section,
       .read = service_part<read_restart, &Service::restart>,
       .doc = "When a replica has ended. A single value is the `policy`.",
       .section = &restart_section(),
       .also = kAlsoText},
      {.name = "stop",
       .type = Type::section,
       .read = service_field<&Service::stop>,
       .doc = "How a replica is ended.",
       .section = &stop_section()},
      {.name = "user",
       .type = Type::text,
       .read = service_field<&Service::user>,
       .initial = "\"\"",
       .doc = "Whom it runs as, by name or number; empty = as `portunus run` itself, with a "
              "warning when that is root or the file's own `user` is given."},
      {.name = "working_directory",
       .type = Type::text,
       .read = read_working_directory,
       .initial = "\"\"",
       .doc = "An absolute path; empty = that of `portunus run`."},
      {.name = "environment",
       .type = Type::pairs,
       .read = read_environment,
       .doc = "Variables, `NAME: value`. `{port}` and `{replica}` are filled in; `file:/path` is "
              "what that file holds."},
      {.name = "limits",
       .type = Type::section,
       .read = service_field<&Service::limits>,
       .doc = "Of each replica.",
       .section = &service_limits_section()},
      {.name = "log",
       .type = Type::section,
       .read = service_field<&Service::log>,
       .doc = "The files with what the replicas write, below `state`.",
       .section = &service_log_section()},
  });
  static const Section section{"a service", keys, kLaterServiceKeys};
  return section;
}

void read_services(Reader& reader, const Key& key, const Node& value, void* object) {
  Draft& draft = *static_cast<Draft*>(object);
  for (const auto& [name, node] : reader.entries(key, value)) {
    if (!reader.check_name(*name, "a service", kNameBytesMax)) continue;
    if (name->text.starts_with('.')) {
      reader.error(name->place, '`' + std::string(name->text) + "` cannot be the name of a service",
                   "it names files, too: no `.` first");
      continue;
    }
    const auto [known, is_new] =
        draft.service_names.emplace(name->text, draft.model.services.size());
    if (!is_new) {
      reader.report_second(*name, "the service", draft.services[known->second].place);
      continue;
    }
    ServiceBody body;
    body.service.name = name->text;
    body.service.health.kind = ProbeKind::off;
    body.draft.place = name->place;
    reader.read_section(*key.section, *node, &body);
    check_ports(reader, body);
    if (body.scale_place.line > 0)
      check_scale(reader, body.scale_place, body.service, !body.draft.pool.name.empty());
    draft.model.services.push_back(std::move(body.service));
    draft.services.push_back(std::move(body.draft));
  }
}

}  // namespace portunus::conf
