// POST /v1/services/{name}/{start|stop|restart|scale|roll} in plain values: what is asked, and the
// answer. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "supervisor/service_order.h"

namespace portunus::proxy {

inline constexpr std::string_view kServicePrefix = "/v1/services/";

// What follows the prefix, as it came; none when it is no such path. The name is not decoded yet.
[[nodiscard]] std::optional<supervisor::ServiceOrder> parse_service_path(std::string_view rest);
// What the body adds: {"replicas": N} of `scale`; others need none. The error is for the client.
[[nodiscard]] std::expected<void, std::string> read_service_body(std::string_view body,
                                                                 supervisor::ServiceOrder& order);
[[nodiscard]] std::uint16_t status_of(supervisor::OrderResult result);
// {"service":"web","order":"scale","replicas":3}: it has been taken, and takes its time.
[[nodiscard]] std::string order_json(const supervisor::ServiceOrder& order);

}  // namespace portunus::proxy
