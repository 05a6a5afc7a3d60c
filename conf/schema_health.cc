#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "conf/header_text.h"
#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

using namespace std::string_view_literals;

struct HealthDraft {
  Health health;
  Milliseconds start_period = Service{}.start_period;  // of services
  bool is_tcp = false;
  Place tcp_place;
  Place path_place;
  Place grpc_place;
  Place http_only_place;  // of `expect` or `host`
};

void read_health_path(Reader& reader, const Key& key, const Node& value, void* object) {
  HealthDraft& draft = *static_cast<HealthDraft*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  draft.path_place = value.place;
  if (!text->starts_with('/') || !is_target_text(*text)) {
    reader.error(value.place, "`path`: a path starts with `/` and has no spaces, such as /health");
    return;
  }
  draft.health.path = *text;
}

// `true`: the member as a whole.
void read_grpc(Reader& reader, const Key& key, const Node& value, void* object) {
  constexpr std::size_t kServiceMax = 127;  // bytes; health/check_grpc.h
  HealthDraft& draft = *static_cast<HealthDraft*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  draft.grpc_place = value.place;
  if (*text == "true") return;
  const bool is_name = !text->empty() && text->size() <= kServiceMax && is_target_text(*text);
  if (!is_name || *text == "false") {
    reader.error(value.place, "`grpc`: expected `true`, or the name of a service",
                 "such as my.package.Service");
    return;
  }
  draft.health.path = *text;
}

void read_tcp(Reader& reader, const Key& key, const Node& value, void* object) {
  HealthDraft& draft = *static_cast<HealthDraft*>(object);
  reader.read(key, value, draft.is_tcp);
  draft.tcp_place = value.place;
}

void read_health_host(Reader& reader, const Key& key, const Node& value, void* object) {
  HealthDraft& draft = *static_cast<HealthDraft*>(object);
  const auto text = reader.text(key, value);
  if (!text) return;
  if (text->empty()) return;  // the default, written out
  draft.http_only_place = value.place;
  if (read_host_field(reader, key, value)) draft.health.host = *text;
}

void read_expected_status(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& ranges = static_cast<Health*>(object)->expect_status;
  ranges.clear();
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    const std::size_t dash = text->find('-');
    const auto first = parse_integer(text->substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_integer(text->substr(dash + 1));
    if (!first || !last || *first < 100 || *last > 599 || *first > *last) {
      reader.error(item->place, "`status`: `" + std::string(*text) +
                                    "`: expected a status such as 200 or a range such as 200-399");
      continue;
    }
    ranges.push_back({static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)});
  }
}

constexpr auto kExpectKeys = std::to_array<Key>({
    {.name = "status",
     .type = Type::list,
     .read = read_expected_status,
     .initial = "[200-399]",
     .doc = "Statuses that mean healthy: single ones and ranges."},
    {.name = "body",
     .type = Type::text,
     .read = field<&Health::expect_body>,
     .initial = "\"\"",
     .doc = "Text that the body must contain; empty = not looked at."},
});
constexpr Section kExpect{"`expect`", kExpectKeys, {}};

void read_expect(Reader& reader, const Key& key, const Node& value, void* object) {
  HealthDraft& draft = *static_cast<HealthDraft*>(object);
  draft.http_only_place = value.place;
  reader.read_section(*key.section, value, &draft.health);
}

template <auto kMember>
void health_field(Reader& reader, const Key& key, const Node& value, void* object) {
  reader.read(key, value, static_cast<HealthDraft*>(object)->health.*kMember);
}

constexpr auto kHealthKeys = std::to_array<Key>({
    {.name = "path",
     .type = Type::text,
     .read = read_health_path,
     .doc = "Probe with an HTTP GET of this path. Without it the probe opens a TCP connection."},
    {.name = "tcp",
     .type = Type::boolean,
     .read = read_tcp,
     .doc = "Say that the probe is a TCP one; the default without `path`."},
    {.name = "grpc",
     .type = Type::text,
     .read = read_grpc,
     .doc = "Probe by gRPC's health service (grpc.health.v1), over HTTP/2: `true` asks about the "
            "whole member, a name about that service of it."},
    {.name = "interval",
     .type = Type::duration,
     .read = health_field<&Health::interval>,
     .initial = "10s",
     .doc = "Between two probes of a member; shorter while its state is changing.",
     .min = 10,
     .max = kDay},
    {.name = "timeout",
     .type = Type::duration,
     .read = health_field<&Health::timeout>,
     .initial = "5s",
     .doc = "A probe without an answer by then has failed.",
     .min = 10,
     .max = kHour},
    {.name = "rise",
     .type = Type::integer,
     .read = health_field<&Health::rise>,
     .initial = "2",
     .doc = "Good probes in a row that bring a member back. The very first good one is enough for "
            "a new member.",
     .min = 1,
     .max = 1000},
    {.name = "fall",
     .type = Type::integer,
     .read = health_field<&Health::fall>,
     .initial = "3",
     .doc = "Failed probes in a row that take a member out.",
     .min = 1,
     .max = 1000},
    {.name = "expect",
     .type = Type::section,
     .read = read_expect,
     .doc = "What a good answer is; for HTTP probes.",
     .section = &kExpect},
    {.name = "port",
     .type = Type::integer,
     .read = health_field<&Health::port>,
     .initial = "0",
     .doc = "Probe another port than the traffic's; 0 = the same.",
     .max = 65535},
    {.name = "host",
     .type = Type::text,
     .read = read_health_host,
     .initial = "\"\"",
     .doc = "The `Host` of an HTTP probe; empty = the member's `host:port`."},
    {.name = "jitter",
     .type = Type::percent,
     .read = health_field<&Health::jitter_ratio>,
     .initial = "10%",
     .doc = "How far the interval wanders, so that probes do not come in step."},
});
constexpr Section kHealth{"`health`", kHealthKeys, {}};

constexpr Key kStartPeriod{.name = "start_period",
                           .type = Type::duration,
                           .read = field<&HealthDraft::start_period>,
                           .initial = "30s",
                           .doc =
                               "Failed probes of a replica do not count for so long after its "
                               "start, or until its first good one.",
                           .max = kDay};

constexpr auto kServiceHealthKeys = [] {
  std::array<Key, kHealthKeys.size() + 1> keys{};
  std::ranges::copy(kHealthKeys, keys.begin());
  keys.back() = kStartPeriod;
  return keys;
}();
constexpr Section kServiceHealth{"`health`", kServiceHealthKeys, {}};

void read_draft(Reader& reader, const Key& key, const Node& value, HealthDraft& draft) {
  if (value.kind == NodeKind::scalar && value.text == "off") {
    draft.health.kind = ProbeKind::off;
    return;
  }
  reader.read_section(*key.section, value, &draft);
  const bool has_path = draft.path_place.line > 0;
  const bool is_grpc = draft.grpc_place.line > 0;
  if (is_grpc && (has_path || draft.is_tcp)) {
    reader.error(draft.grpc_place, "`grpc` excludes `path` and `tcp: true`");
  } else if (has_path && draft.is_tcp) {
    reader.error(draft.tcp_place, "`tcp: true` and `path` exclude each other");
  } else if (!has_path && !is_grpc && draft.tcp_place.line > 0 && !draft.is_tcp) {
    reader.error(draft.tcp_place, "`tcp: false` needs a `path`",
                 "`health: off` is no probe at all");
  } else if (!has_path && draft.http_only_place.line > 0) {
    reader.error(draft.http_only_place, "this needs an HTTP probe: give its `path` too");
  }
  draft.health.kind = is_grpc ? ProbeKind::grpc : has_path ? ProbeKind::http : ProbeKind::tcp;
}

}  // namespace

const Section& health_section() {
  return kHealth;
}

const Section& service_health_section() {
  return kServiceHealth;
}

void read_health(Reader& reader, const Key& key, const Node& value, void* object) {
  HealthDraft draft;
  read_draft(reader, key, value, draft);
  *static_cast<Health*>(object) = std::move(draft.health);
}

void read_service_health(Reader& reader, const Key& key, const Node& value, void* object) {
  Service& service = *static_cast<Service*>(object);
  HealthDraft draft;
  read_draft(reader, key, value, draft);
  service.health = std::move(draft.health);
  service.start_period = draft.start_period;
}

}  // namespace portunus::conf
