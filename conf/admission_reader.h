// Reading of what sites and routes say in the same way about who may come in, and how often. Part of
// the schema; on the stack of one load.
#pragma once

#include <optional>

#include "conf/model_admission.h"
#include "conf/schema.h"

namespace portunus::conf {

[[nodiscard]] const Section& rate_limit_section();

// The object is an AddressLists.
void read_allow(Reader& reader, const Key& key, const Node& value, void* object);
void read_deny(Reader& reader, const Key& key, const Node& value, void* object);
// The object is an std::optional<RateLimit>. A single value is the rate.
void read_rate_limit(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
