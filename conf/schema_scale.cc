// The key `scale` of a service: when it gets more replicas, and when fewer.
#include <array>
#include <string>
#include <string_view>

#include "conf/model.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/service_reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::uint64_t kScaleRequestsMax = 1'000'000;

void read_cpu_wanted(Reader& reader, const Key& key, const Node& value, void* object) {
  const auto text = reader.text(key, value);
  if (!text) return;
  if (const auto percent = parse_whole_percent(*text, kCpuPercentMax)) {
    static_cast<Scale*>(object)->cpu_percent = *percent;
  } else {
    reader.error(value.place, "`cpu`: " + percent.error());
  }
}

constexpr auto kScaleKeys = std::to_array<Key>({
    {.name = "cpu",
     .type = Type::percent,
     .read = read_cpu_wanted,
     .initial = "0%",
     .doc = "What a replica is to use of one CPU, on average: `70%`; above 100% for programs of "
            "several threads. 0 = not looked at.",
     .max = kCpuPercentMax},
    {.name = "in_flight",
     .type = Type::integer,
     .read = field<&Scale::in_flight>,
     .initial = "0",
     .doc = "Requests that a replica is to have at a time, on average, those that wait for one "
            "included. 0 = not looked at.",
     .max = kScaleRequestsMax},
    {.name = "queue",
     .type = Type::integer,
     .read = field<&Scale::queue>,
     .initial = "0",
     .doc = "From so many requests that wait in the pool because all connections are taken "
            "(`max_connections_per_upstream`), there are more replicas. 0 = not looked at.",
     .max = kScaleRequestsMax},
    {.name = "up_after",
     .type = Type::duration,
     .read = field<&Scale::up_after>,
     .initial = "15s",
     .doc = "How long the load is averaged; then replicas are added, at most as many as there are.",
     .min = kSecond,
     .max = kHour},
    {.name = "down_after",
     .type = Type::duration,
     .read = field<&Scale::down_after>,
     .initial = "5m",
     .doc = "How long fewer would have been enough before one goes, and then the next; so long "
            "`portunus scale` holds, too.",
     .min = kSecond,
     .max = 24 * kHour},
    {.name = "dry_run",
     .type = Type::boolean,
     .read = field<&Scale::dry_run>,
     .initial = "false",
     .doc = "Only the log, `portunus services` and a metric say what would be done."},
});
constexpr Section kScale{"`scale`", kScaleKeys, {}};

}  // namespace

const Section& scale_section() {
  return kScale;
}

void check_scale(Reader& reader, Place scale_place, const Service& service, bool has_pool) {
  const Scale& scale = service.scale;
  if (!scale.is_on()) {
    reader.error(scale_place, "`scale` needs something to go by: `cpu`, `in_flight` or `queue`",
                 "such as `cpu: 70%`");
  }
  if ((scale.in_flight > 0 || scale.queue > 0) && !has_pool) {
    reader.error(scale_place, "a service that scales by `in_flight` or `queue` needs a `pool`",
                 "only of its pool it is known how many requests there are");
  }
  if (service.replicas_min == 0) {
    reader.error(scale_place, "a service with `scale` needs at least one replica",
                 "`replicas`: `min` is 0, and without a replica there is no load to be seen");
  } else if (service.replicas_min >= service.replicas_max) {
    reader.error(scale_place,
                 "`scale` has nothing to decide: `replicas` allows " +
                     std::to_string(service.replicas_max) + " only",
                 "such as `replicas: { min: 1, max: 4 }`");
  }
  const std::uint32_t limit = service.limits.cpu_percent;
  if (limit > 0 && scale.cpu_percent >= limit) {
    reader.warning(scale_place,
                   "`scale`: `cpu` of " + std::to_string(scale.cpu_percent) +
                       "% is never exceeded: `limits` allows " + std::to_string(limit) + "%",
                   "it is to be below");
  }
}

}  // namespace portunus::conf
