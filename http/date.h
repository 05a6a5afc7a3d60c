// IMF-fixdate text of RFC 9110 section 5.6.7, e.g. for Date, formatted once per second and thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace portunus::http {

inline constexpr std::size_t kDateSize = 29;

// Writes kDateSize characters for seconds since 1970, UTC (years 1970 to 9999).
void write_date(std::int64_t unix_seconds, char* out);
// Of now. Valid until the next call on this thread.
[[nodiscard]] std::string_view date_now();

}  // namespace portunus::http
