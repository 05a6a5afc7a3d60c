// Request ids: 128 random bits as 32 hex digits from a generator per thread, seeded by the system.
// They are unique, not secret. And the judgement of an id that a trusted peer has given.
#pragma once

#include <cstddef>
#include <string_view>

namespace portunus::http {

inline constexpr std::size_t kRequestIdSize = 32;
inline constexpr std::size_t kRequestIdMax = 128;  // of a given one

// Writes kRequestIdSize characters. Any thread.
void write_request_id(char* out);
// Letters, digits and "-_.:+/=@", 1 to kRequestIdMax of them: safe in logs, fields and URLs'
// queries.
[[nodiscard]] bool is_request_id(std::string_view text);

}  // namespace portunus::http
