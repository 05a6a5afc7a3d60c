// The bodies that the admin API answers with: JSON (one line, snake_case, times as RFC 3339,
// seconds as numbers ending in `_s`, unknown = key missing), and the plain list of endpoints. Pure
// functions of plain values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/admin_source.h"

namespace portunus::proxy {

// "2025-01-31T08:09:10.123456Z" for microseconds since 1970.
[[nodiscard]] std::string utc_text(std::uint64_t wall_us);

// `not_ready` is AdminSource's reason, empty when ready.
[[nodiscard]] std::string status_json(const StatusView& status,
                                      std::string_view not_ready,
                                      std::uint64_t now_us);
[[nodiscard]] std::string pools_json(const std::vector<PoolView>& pools);
[[nodiscard]] std::string pool_json(const PoolView& pool);
// One member, with the name of its pool; after a drain also whether nothing is in flight any more.
[[nodiscard]] std::string member_json(const std::string& pool,
                                      const MemberView& member,
                                      std::optional<bool> is_drained = std::nullopt);
[[nodiscard]] std::string reload_json(const ReloadOutcome& outcome);
// {"status":404,"error":"Not Found","message":"..."}
[[nodiscard]] std::string error_json(std::uint16_t status, std::string_view message);
// What GET / says: every endpoint with a few words.
[[nodiscard]] std::string_view index_text();

}  // namespace portunus::proxy
