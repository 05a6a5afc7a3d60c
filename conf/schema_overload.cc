// `overload` of a pool: how many requests it takes, and how many may wait.
#include <algorithm>
#include <array>

#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::uint64_t kRequestsMax = 1'000'000;

constexpr auto kAdaptiveKeys = std::to_array<Key>({
    {.name = "tolerance",
     .type = Type::percent,
     .read = field<&AdaptiveLimit::tolerance_ratio>,
     .initial = "50%",
     .doc = "How much longer answers may take than they do with few requests at a time, before "
            "fewer are let through."},
    {.name = "initial",
     .type = Type::integer,
     .read = field<&AdaptiveLimit::initial>,
     .initial = "20",
     .doc = "The bound to begin with.",
     .min = 1,
     .max = kRequestsMax},
    {.name = "min",
     .type = Type::integer,
     .read = field<&AdaptiveLimit::min>,
     .initial = "3",
     .doc = "So many are always let through.",
     .min = 1,
     .max = kRequestsMax},
    {.name = "max",
     .type = Type::integer,
     .read = field<&AdaptiveLimit::max>,
     .initial = "1000",
     .doc = "Never more than so many, however fast the answers are.",
     .min = 1,
     .max = kRequestsMax},
});
constexpr Section kAdaptive{"`adaptive`", kAdaptiveKeys, {}};

void read_adaptive(Reader& reader, const Key& key, const Node& value, void* object) {
  Overload& overload = *static_cast<Overload*>(object);
  AdaptiveLimit& adaptive = overload.adaptive;
  adaptive.is_on = true;
  if (value.kind == NodeKind::scalar) {
    reader.read(key, value, adaptive.is_on);
    return;
  }
  reader.read_section(*key.section, value, &adaptive);
  if (adaptive.min > adaptive.max) {
    reader.error(value.place, "`adaptive`: `min` is more than `max`");
  } else if (adaptive.initial < adaptive.min || adaptive.initial > adaptive.max) {
    if (find_key(value, "initial") != nullptr)
      reader.error(value.place, "`adaptive`: `initial` is not between `min` and `max`");
    adaptive.initial = std::clamp(adaptive.initial, adaptive.min, adaptive.max);
  }
}

constexpr auto kOverloadKeys = std::to_array<Key>({
    {.name = "max_requests",
     .type = Type::integer,
     .read = field<&Overload::max_requests>,
     .initial = "0",
     .doc = "Requests at all members of the pool together, tunnels included; those beyond it wait. "
            "0 = only what `max_connections_per_upstream` allows each member.",
     .max = kRequestsMax},
    {.name = "adaptive",
     .type = Type::section,
     .read = read_adaptive,
     .doc = "Instead of `max_requests`: a bound that follows how long the members' answers take. "
            "None without this key; `true` = as below.",
     .section = &kAdaptive,
     .also = kAlsoText},
    {.name = "max_pending",
     .type = Type::integer,
     .read = field<&Overload::max_pending>,
     .initial = "256",
     .doc = "Requests that may wait for a connection or a member of the pool; more are answered "
            "with 503 and `Retry-After`. 0 = none may wait.",
     .max = kRequestsMax},
    {.name = "pending_timeout",
     .type = Type::duration,
     .read = field<&Overload::pending_timeout>,
     .initial = "5s",
     .doc = "How long a request may wait for a connection; then 503. (For a member that is up: "
            "see `retry`.)",
     .min = 1,
     .max = kHour},
});
constexpr Section kOverload{"`overload`", kOverloadKeys, {}};

}  // namespace

void read_overload(Reader& reader, const Key& key, const Node& value, void* object) {
  Overload& overload = *static_cast<Overload*>(object);
  reader.read_section(*key.section, value, &overload);
  if (overload.adaptive.is_on && overload.max_requests != 0) {
    reader.error(value.place,
                 "`overload`: `max_requests` is a bound of its own, which `adaptive` finds out: "
                 "give that a `max` instead");
  }
}

const Section& overload_section() {
  return kOverload;
}

}  // namespace portunus::conf
