// Reading of what sites and routes say in the same way about the compression of answers. Part of the
// schema; on the stack of one load.
#pragma once

#include "conf/model_compression.h"
#include "conf/schema.h"

namespace portunus::conf {

[[nodiscard]] const Section& compression_section();

// The object is an std::optional<Compression>. A single value is `on` or `off`.
void read_compression(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
