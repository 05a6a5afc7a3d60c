// Rules between services and the rest of a configuration: ports that two want, the pools that
// replicas join, and the probes that they take from them. A part of validate(): listeners are made
// by then, and the names of pools looked up. One load.
#pragma once

#include "conf/draft.h"
#include "conf/source.h"

namespace portunus::conf {

void validate_services(Draft& draft, const Sources& sources, Report& report);

}  // namespace portunus::conf
