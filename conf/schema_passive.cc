// `passive` and `circuit_breaker` of a pool: what traffic says about members.
#include <array>
#include <optional>
#include <string>

#include "conf/model.h"
#include "conf/pool_reader.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::uint64_t kRowMax = 10'000;
constexpr std::uint64_t kVolumeMax = 1'000'000;

std::optional<FailureKind> parse_failure(std::string_view text) {
  if (text == "connect") return FailureKind::connect;
  if (text == "reset") return FailureKind::reset;
  if (text == "timeout") return FailureKind::timeout;
  if (text == "protocol") return FailureKind::protocol;
  return std::nullopt;
}

void read_failures(Reader& reader, const Key& key, const Node& value, void* object) {
  FailureRule& rule = static_cast<Passive*>(object)->on;
  rule.kinds.reset();
  rule.statuses.reset();
  for (const Node* item : reader.items(key, value)) {
    const auto text = reader.text(key, *item);
    if (!text) continue;
    if (const auto kind = parse_failure(*text)) {
      rule.kinds.set(static_cast<std::size_t>(*kind));
    } else if (*text == "5xx") {
      rule.statuses.set();
    } else if (const auto status = parse_integer(*text);
               status && *status >= FailureRule::kFirstStatus && *status <= 599) {
      rule.statuses.set(static_cast<std::size_t>(*status) - FailureRule::kFirstStatus);
    } else {
      reader.error(item->place, "`on`: `" + std::string(*text) +
                                    "`: expected `connect`, `reset`, `timeout`, `protocol`, `5xx` "
                                    "or a status from 500 to 599 such as 503");
    }
  }
}

constexpr auto kPassiveKeys = std::to_array<Key>({
    {.name = "on",
     .type = Type::list,
     .read = read_failures,
     .initial = "[connect, reset, timeout, protocol, 502, 503, 504]",
     .doc = "What counts as a failure of the member, here and for `circuit_breaker`. `connect`: no "
            "connection, TLS included. `reset`: it broke before the end of the answer. `timeout`: "
            "no answer in time. `protocol`: no HTTP. A status, or `5xx`. What clients do never "
            "counts."},
    {.name = "consecutive_failures",
     .type = Type::integer,
     .read = field<&Passive::consecutive_failures>,
     .initial = "5",
     .doc = "So many failures in a row eject a member; 0 = not looked at.",
     .max = kRowMax},
    {.name = "above_others",
     .type = Type::percent,
     .read = field<&Passive::excess_ratio>,
     .initial = "30%",
     .doc = "A member is ejected when it fails so much more often than the pool's other members "
            "together: with `30%`, 35 of 100 requests against 5 of 100. 0% = not looked at."},
    {.name = "min_requests",
     .type = Type::integer,
     .read = field<&Passive::min_requests>,
     .initial = "20",
     .doc = "Not judged by `above_others` before it, and the others together, have had so many "
            "requests within `window`.",
     .min = 1,
     .max = kVolumeMax},
    {.name = "window",
     .type = Type::duration,
     .read = field<&Passive::window>,
     .initial = "10s",
     .doc = "How far back `above_others` looks.",
     .min = 1'000,
     .max = kHour},
    {.name = "eject_for",
     .type = Type::duration,
     .read = field<&Passive::eject_for>,
     .initial = "30s",
     .doc = "How long the first ejection lasts; each further one is longer by as much, until the "
            "member has behaved for so long. Then one request tries it. Where members are probed, "
            "one whose connections failed is tried after 1s (then 2s, 4s, ...): a good probe says "
            "that it is back.",
     .min = 100,
     .max = kDay},
    {.name = "max_eject_for",
     .type = Type::duration,
     .read = field<&Passive::max_eject_for>,
     .initial = "5m",
     .doc = "No ejection lasts longer.",
     .min = 100,
     .max = kDay},
    {.name = "max_ejected",
     .type = Type::percent,
     .read = field<&Passive::max_ejected_ratio>,
     .initial = "50%",
     .doc = "Of the pool's members, so many may be ejected at a time (rounded down), and never the "
            "last one that takes requests."},
});
constexpr Section kPassive{"`passive`", kPassiveKeys, {}};

constexpr auto kBreakerKeys = std::to_array<Key>({
    {.name = "failure_ratio",
     .type = Type::percent,
     .read = field<&CircuitBreaker::failure_ratio>,
     .initial = "50%",
     .doc = "Opens when so many of the member's requests within `window` have failed; 0% = not "
            "looked at. What a failure is, `passive.on` says."},
    {.name = "min_requests",
     .type = Type::integer,
     .read = field<&CircuitBreaker::min_requests>,
     .initial = "20",
     .doc = "Not before so many requests within `window`.",
     .min = 1,
     .max = kVolumeMax},
    {.name = "window",
     .type = Type::duration,
     .read = field<&CircuitBreaker::window>,
     .initial = "10s",
     .doc = "How far back it looks. It begins with the first failure (or slow answer) after a "
            "quiet time.",
     .min = 1'000,
     .max = kHour},
    {.name = "consecutive_failures",
     .type = Type::integer,
     .read = field<&CircuitBreaker::consecutive_failures>,
     .initial = "0",
     .doc = "Opens after so many failures in a row; 0 = not looked at.",
     .max = kRowMax},
    {.name = "latency_p99",
     .type = Type::duration,
     .read = field<&CircuitBreaker::latency_p99>,
     .initial = "0s",
     .doc = "Opens when more than one of a hundred answers within `window` began later than this "
            "after the request was sent (at least 100 of them, and `min_requests`). 0s = not "
            "looked at.",
     .max = kHour},
    {.name = "open_for",
     .type = Type::duration,
     .read = field<&CircuitBreaker::open_for>,
     .initial = "10s",
     .doc = "How long the member gets nothing.",
     .min = 100,
     .max = kDay},
    {.name = "half_open_requests",
     .type = Type::integer,
     .read = field<&CircuitBreaker::half_open_requests>,
     .initial = "3",
     .doc =
         "Then it gets so many; when all go well the breaker closes, and when one fails it opens "
         "again.",
     .min = 1,
     .max = 1'000},
});
constexpr Section kBreaker{"`circuit_breaker`", kBreakerKeys, {}};

}  // namespace

const Section& passive_section() {
  return kPassive;
}

void read_passive(Reader& reader, const Key& key, const Node& value, void* object) {
  Passive& passive = *static_cast<Passive*>(object);
  if (value.kind == NodeKind::scalar) {
    reader.read(key, value, passive.is_on);
    return;
  }
  reader.read_section(*key.section, value, &passive);
  if (passive.max_eject_for >= passive.eject_for) return;
  if (find_key(value, "max_eject_for") != nullptr)
    reader.error(value.place, "`max_eject_for` is shorter than `eject_for`");
  passive.max_eject_for = passive.eject_for;
}

const Section& circuit_breaker_section() {
  return kBreaker;
}

void read_circuit_breaker(Reader& reader, const Key& key, const Node& value, void* object) {
  CircuitBreaker& breaker = *static_cast<CircuitBreaker*>(object);
  breaker.is_on = true;
  if (value.kind == NodeKind::scalar) {
    reader.read(key, value, breaker.is_on);
    return;
  }
  reader.read_section(*key.section, value, &breaker);
}

}  // namespace portunus::conf
