// What reading sites needs from reading pools: a site may hold its members itself. Part of the
// schema; one load.
#pragma once

#include "conf/model.h"

namespace portunus::conf {

class Reader;
struct Key;
struct Node;
struct Section;

// A pool in any of its forms, without its name.
[[nodiscard]] Pool read_pool(Reader& reader, const Node& value);

[[nodiscard]] const Section& health_section();
// The object is a Health.
void read_health(Reader& reader, const Key& key, const Node& value, void* object);

}  // namespace portunus::conf
