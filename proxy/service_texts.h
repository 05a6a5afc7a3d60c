// Services as people and programs read them: the JSON of GET /v1/services and of `portunus services
// --json`, and the table. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "supervisor/service_view.h"

namespace portunus::proxy {

// {"services":[...]}, one line. `now_us` is the wall clock; a time that is unknown has no key.
[[nodiscard]] std::string services_json(std::span<const supervisor::ServiceView> services,
                                        std::uint64_t now_us);
// A row for each replica; then a line for each service that has been scaled.
[[nodiscard]] std::string services_table(std::span<const supervisor::ServiceView> services,
                                         std::uint64_t now_us);

}  // namespace portunus::proxy
