// Reason phrases and status lines of RFC 9110 section 15 and its registry. Static text; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace portunus::http {

// "Not Found"; empty for a status without a registered phrase.
[[nodiscard]] std::string_view reason_phrase(std::uint16_t status);
// "HTTP/1.1 404 Not Found\r\n"; empty for a status without a registered phrase.
[[nodiscard]] std::string_view status_line_of(std::uint16_t status);

}  // namespace portunus::http
