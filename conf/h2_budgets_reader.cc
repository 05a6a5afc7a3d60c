#include "conf/h2_budgets_reader.h"

#include <array>

#include "conf/model.h"
#include "conf/reader.h"

namespace portunus::conf {
namespace {

constexpr auto kBudgetKeys = std::to_array<Key>({
    {.name = "burst",
     .type = Type::integer,
     .read = field<&H2Budget::burst>,
     .doc = "So many at once.",
     .min = 1,
     .max = 1'000'000},
    {.name = "per_second",
     .type = Type::integer,
     .read = field<&H2Budget::per_second>,
     .doc = "So many more in each second, up to `burst`.",
     .max = 1'000'000},
});
constexpr Section kBudget{"a budget of HTTP/2", kBudgetKeys, {}};

constexpr auto kBudgetsKeys = std::to_array<Key>({
    {.name = "client_resets",
     .type = Type::section,
     .read = field<&H2Budgets::client_resets>,
     .initial = "{ burst: 200, per_second: 50 }",
     .doc = "Streams that the client opens and takes back: rapid reset, CVE-2023-44487.",
     .section = &kBudget},
    {.name = "server_resets",
     .type = Type::section,
     .read = field<&H2Budgets::server_resets>,
     .initial = "{ burst: 100, per_second: 20 }",
     .doc =
         "Streams that it makes Portunus reset by breaking the rules: MadeYouReset, CVE-2025-8671.",
     .section = &kBudget},
    {.name = "settings",
     .type = Type::section,
     .read = field<&H2Budgets::settings>,
     .initial = "{ burst: 20, per_second: 5 }",
     .doc = "SETTINGS, each of which has to be acknowledged.",
     .section = &kBudget},
    {.name = "pings",
     .type = Type::section,
     .read = field<&H2Budgets::pings>,
     .initial = "{ burst: 500, per_second: 50 }",
     .doc = "PING, the same.",
     .section = &kBudget},
    {.name = "priorities",
     .type = Type::section,
     .read = field<&H2Budgets::priorities>,
     .initial = "{ burst: 1000, per_second: 100 }",
     .doc = "PRIORITY, PRIORITY_UPDATE, and frames that nobody knows.",
     .section = &kBudget},
    {.name = "empty_frames",
     .type = Type::section,
     .read = field<&H2Budgets::empty_frames>,
     .initial = "{ burst: 100, per_second: 10 }",
     .doc = "DATA and CONTINUATION without content.",
     .section = &kBudget},
    {.name = "window_updates",
     .type = Type::section,
     .read = field<&H2Budgets::window_updates>,
     .initial = "{ burst: 1000, per_second: 100 }",
     .doc = "WINDOW_UPDATE beyond those that what was sent explains: two for each KiB.",
     .section = &kBudget},
    {.name = "header_bombs",
     .type = Type::section,
     .read = field<&H2Budgets::header_bombs>,
     .initial = "{ burst: 10, per_second: 1 }",
     .doc = "Heads more than four times as large as `header_bytes` allows, which a few bytes "
            "unfold to.",
     .section = &kBudget},
    {.name = "streams",
     .type = Type::section,
     .read = field<&H2Budgets::streams>,
     .initial = "{ burst: 1000, per_second: 100 }",
     .doc = "Streams beyond `h2_concurrent_streams`, which are refused.",
     .section = &kBudget},
});
constexpr Section kBudgets{"`h2_budgets`", kBudgetsKeys, {}};

}  // namespace

const Section& h2_budgets_section() {
  return kBudgets;
}

}  // namespace portunus::conf
