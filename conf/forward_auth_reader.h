// Reading of what sites and routes say in the same way about the service that is asked who may come in.
// Part of the schema; on the stack of one load.
#pragma once

#include "conf/model_forward_auth.h"
#include "conf/schema.h"

namespace portunus::conf {

[[nodiscard]] const Section& forward_auth_section();

// The object is an std::optional<ForwardAuth>; its pool becomes an index into Draft::pool_uses.
void read_forward_auth(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
