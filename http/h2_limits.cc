#include "http/h2_limits.h"

#include <algorithm>

namespace portunus::http {
namespace {

constexpr std::array<std::string_view, kH2AbuseCount> kAbuseNames{
    "client_resets", "server_resets",  "continuations", "settings", "pings", "priorities",
    "empty_frames",  "window_updates", "header_bombs",  "streams",  "output"};

constexpr std::int64_t kWhole = 1000;

}  // namespace

std::string_view name_of(H2Abuse kind) {
  return kAbuseNames[static_cast<std::size_t>(kind)];
}

bool H2Budget::spend(const H2Limits& limits, H2Abuse kind, std::uint64_t now_ms) {
  const H2Allowance& allowance = limits.allowances[static_cast<std::size_t>(kind)];
  Spent& spent = spent_[static_cast<std::size_t>(kind)];
  const auto now = static_cast<std::uint32_t>(now_ms);  // differences outlast its wrapping round
  const std::int64_t regained = std::int64_t{now - spent.at_ms} * allowance.per_second;
  const std::int64_t before =
      std::max<std::int64_t>(spent.amount - regained, std::min<std::int64_t>(spent.amount, 0));
  const bool fits = before + kWhole <= allowance.burst * kWhole;
  spent = {static_cast<std::int32_t>(before + (fits ? kWhole : 0)), now};
  return fits;
}

void H2Budget::excuse(H2Abuse kind, std::uint32_t amount) {
  Spent& spent = spent_[static_cast<std::size_t>(kind)];
  spent.amount =
      static_cast<std::int32_t>(std::max(spent.amount - amount * kWhole, -kCreditMax * kWhole));
}

}  // namespace portunus::http
