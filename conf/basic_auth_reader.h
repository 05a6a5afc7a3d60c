// Reading of what sites and routes say in the same way about names and passwords. Part of the schema;
// on the stack of one load.
#pragma once

#include "conf/model_basic_auth.h"
#include "conf/schema.h"

namespace portunus::conf {

[[nodiscard]] const Section& basic_auth_section();

// The object is an std::optional<BasicAuth>.
void read_basic_auth(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
