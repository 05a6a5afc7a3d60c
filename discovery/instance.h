// One instance of a service, as a discovery source knows it, and the list of them that a source
// publishes. Values; immutable once published; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"

namespace portunus::discovery {

// Of Consul's checks, the worst of them; maintenance is a deliberate order and above all others.
enum class InstanceStatus : std::uint8_t { passing, warning, critical, maintenance };
[[nodiscard]] const char* name_of(InstanceStatus status);

struct Instance {
  std::string id;    // of the service at its agent
  std::string node;  // whose agent it is registered at; (node, id) is one instance
  net::Address address;
  std::string name;          // "host:port", the name of the member; each once in a list
  std::uint32_t weight = 1;  // 1 and more
  bool is_backup = false;
  bool is_draining = false;  // in maintenance: no new requests
  // What discovery says of it: it may get requests, if our own probes agree. Not while it drains.
  bool is_usable = true;
  // Consul's last answers make it unusable, or do not name it any more, and that is not believed
  // yet; it stays as it was in the last good list.
  bool is_kept = false;
  InstanceStatus status = InstanceStatus::passing;
  std::string reason;  // why it is not passing: the names of the checks; empty = nothing to say
  std::string group;   // of the service's meta `portunus_group`; empty = none
  friend bool operator==(const Instance&, const Instance&) = default;
};

// Ascending by name.
using Instances = std::vector<Instance>;
using InstanceList = std::shared_ptr<const Instances>;  // never null when published

}  // namespace portunus::discovery
