// Reading one cookie out of a Cookie field (RFC 6265 section 4.2.1). Pure; any thread.
#pragma once

#include <string_view>

namespace portunus::http {

// The value of the first cookie of that name in `field`, without quotes; empty when there is none.
[[nodiscard]] std::string_view cookie_value(std::string_view field, std::string_view name);

}  // namespace portunus::http
