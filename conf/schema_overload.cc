// `overload` of a pool: how many requests it takes, and how many may wait.
#include <array>

#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::uint64_t kRequestsMax = 1'000'000;

constexpr auto kOverloadKeys = std::to_array<Key>({
    {.name = "max_requests",
     .type = Type::integer,
     .read = field<&Overload::max_requests>,
     .initial = "0",
     .doc = "Requests at all members of the pool together, tunnels included; those beyond it wait. "
            "0 = only what `max_connections_per_upstream` allows each member.",
     .max = kRequestsMax},
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

const Section& overload_section() {
  return kOverload;
}

}  // namespace portunus::conf
