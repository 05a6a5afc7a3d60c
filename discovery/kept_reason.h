// Why a list of instances is not Consul's of this moment. A closed list: the labels of metrics.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portunus::discovery {

enum class KeptReason : std::uint8_t {
  none,         // it is
  unreachable,  // no agent answers, or none answers well
  refused,      // the token is refused, or may not see all; or there is none to be read
  no_leader,    // the servers have none
  stale,        // the answer was older than allowed
  bad_answer,   // not what Consul says, or more than is allowed
  empty,        // the answer had no usable instance, and is not confirmed yet
  loss,         // or too few
};
inline constexpr std::size_t kKeptReasonCount = static_cast<std::size_t>(KeptReason::loss) + 1;
[[nodiscard]] const char* name_of(KeptReason reason);

}  // namespace portunus::discovery
