// What Consul answers to /v1/health/service/NAME, made a list of instances. Pure; any thread. Every
// byte is hostile: the document is taken apart entry by entry with bounds for their number, size and
// depth, and one that is not what Consul says is refused whole. An entry that is well formed but
// cannot be a member (a host name instead of an IP address, no port) is left out and counted.
//
//   checks of an entry                              status        draining
//   _node_maintenance, _service_maintenance:...     maintenance   yes
//   one critical, or of unknown status              critical
//   one warning                                     warning
//   else                                            passing
//
// Usable are passing ones, and those with a warning as WarningRule says. Of entries with the same
// address the one in the best status stays: a registration that was left behind does no harm.
//
// Meta of the service: portunus_weight (1 to 1000) instead of Weights.Passing; portunus_priority
// "backup" or "normal"; portunus_group, a name. What is wrong there is ignored, and said in `reason`.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "discovery/consul_settings.h"
#include "discovery/instance.h"

namespace portunus::discovery {

inline constexpr std::uint32_t kConsulWeightMax = 1'000;
inline constexpr std::size_t kConsulEntryMax = std::size_t{256} * 1024;  // bytes
inline constexpr unsigned kConsulDepthMax = 16;                          // within an entry
inline constexpr std::size_t kConsulNameMax = 256;  // bytes of an id, a node, a group

struct ParsedInstances {
  Instances instances;  // ascending by name, each name once
  std::uint64_t left_out = 0;
  std::string left_out_reason;  // of the first: "web-1: no port"
};

// The error is a literal.
[[nodiscard]] std::expected<ParsedInstances, const char*> parse_health(std::string_view document,
                                                                       WarningRule warning,
                                                                       std::size_t instances_max);

}  // namespace portunus::discovery
