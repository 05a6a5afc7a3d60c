// What reading sites needs from reading pools: a site may hold its members itself. Part of the
// schema; one load.
#pragma once

#include "conf/model.h"

namespace portunus::conf {

class Reader;
struct Node;

// A pool in any of its forms, without its name.
[[nodiscard]] Pool read_pool(Reader& reader, const Node& value);

}  // namespace portunus::conf
