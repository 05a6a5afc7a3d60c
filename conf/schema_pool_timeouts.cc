// `timeouts` of a pool: towards its members.
#include <array>

#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr auto kPoolTimeoutsKeys = std::to_array<Key>({
    {.name = "connect",
     .type = Type::duration,
     .read = field<&PoolTimeouts::connect>,
     .initial = "2s",
     .doc = "To open a connection to a member.",
     .min = 1,
     .max = kHour},
    {.name = "tls",
     .type = Type::duration,
     .read = field<&PoolTimeouts::tls>,
     .initial = "3s",
     .doc = "For the TLS handshake on an open connection.",
     .min = 1,
     .max = kHour},
    {.name = "first_byte",
     .type = Type::duration,
     .read = field<&PoolTimeouts::first_byte>,
     .initial = "60s",
     .doc = "From the end of the request to the first byte of the answer; then 504.",
     .min = 1,
     .max = kDay},
    {.name = "between_bytes",
     .type = Type::duration,
     .read = field<&PoolTimeouts::between_bytes>,
     .initial = "60s",
     .doc = "Between two reads of an answer.",
     .min = 1,
     .max = kDay},
    {.name = "total",
     .type = Type::duration,
     .read = field<&PoolTimeouts::total>,
     .initial = "0s",
     .doc = "For the whole request, tries together; 0 = no limit. A route may have its own.",
     .max = 365 * kDay},
    {.name = "idle",
     .type = Type::duration,
     .read = field<&PoolTimeouts::idle>,
     .initial = "60s",
     .doc = "A connection to a member without a request is closed after this.",
     .min = 1,
     .max = kDay},
    {.name = "tunnel",
     .type = Type::duration,
     .read = field<&PoolTimeouts::tunnel>,
     .initial = "1h",
     .doc = "An upgraded connection (WebSocket) without a byte in either direction is closed after "
            "this.",
     .min = 1,
     .max = 365 * kDay},
});
constexpr Section kPoolTimeouts{"`timeouts`", kPoolTimeoutsKeys, {}};

}  // namespace

const Section& pool_timeouts_section() {
  return kPoolTimeouts;
}

}  // namespace portunus::conf
