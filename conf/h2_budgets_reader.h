// `limits.h2_budgets`: what one HTTP/2 connection may do before it is closed. Control thread.
#pragma once

#include "conf/schema.h"

namespace portunus::conf {

// Reads into a H2Budgets.
[[nodiscard]] const Section& h2_budgets_section();

}  // namespace portunus::conf
