// The rules between keys: names that must be defined, hosts that two sites claim, addresses that
// two listeners claim, routes and pools that nothing reaches. Also gives what the user left out its
// name: listeners that sites' keys make, routes, anonymous pools. Runs once per load, after all
// files are read.
#pragma once

#include "conf/draft.h"
#include "conf/source.h"

namespace portunus::conf {

// Afterwards every index of draft.model is final, unless errors were reported.
void validate(Draft& draft, const Sources& sources, Report& report);

}  // namespace portunus::conf
