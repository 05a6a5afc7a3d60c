// The part of the admin API below /v1/pools/{pool}/upstreams/: which member is meant, and what is
// wanted of it. Pure functions of the request's parts; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/admin_source.h"

namespace portunus::proxy {

// Percent-decoded; a broken escape stays as it is (and then names nothing).
[[nodiscard]] std::string decode_path(std::string_view text);

struct MemberPath {
  std::string pool;
  std::string member;
  std::string verb;  // drain, enable, disable, weight; empty: the member itself
};

// Nothing when `path` is not below /v1/pools/{pool}/upstreams/. Any verb.
[[nodiscard]] std::optional<MemberPath> parse_member_path(std::string_view path);

// The command of such a path; nothing for a verb that is none.
[[nodiscard]] std::optional<MemberCommand> command_of(std::string_view verb);

// {"weight": 5}; null is 0, which stands for the configuration's. The error is one line.
[[nodiscard]] std::expected<std::uint32_t, std::string> parse_weight(std::string_view body);

// Of `wait=30s` in a query, in milliseconds: 0 when it is not there. The error is one line.
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_wait(std::string_view query);

}  // namespace portunus::proxy
