// Reading of what sites and routes say in the same way about pages of other sites. Part of the schema;
// on the stack of one load.
#pragma once

#include "conf/model_cors.h"
#include "conf/schema.h"

namespace portunus::conf {

[[nodiscard]] const Section& cors_section();

// The object is an std::optional<Cors>. A list or a single value is whose pages.
void read_cors(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
