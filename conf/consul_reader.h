// What members from Consul need of the configuration: the agents, and the service of a pool. Part of
// the schema; on the stack of one load.
#pragma once

#include "conf/schema.h"

namespace portunus::conf {

[[nodiscard]] const Section& consul_section();
// The object is a Draft. A list or a single value is the agents.
void read_consul(Reader& reader, const Key& key, const Node& value, void* object);

[[nodiscard]] const Section& consul_service_section();
// The object is an std::optional<ConsulService>. A single value is the service.
void read_consul_service(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
