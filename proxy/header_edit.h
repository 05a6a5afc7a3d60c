// The configured changes of a request's or response's fields: remove, then set, then add, first
// those of the site, then those of the route. Values stay where the configuration has them, so the
// generation must outlive the block. Any thread.
#pragma once

#include "http/header_block.h"
#include "proxy/route.h"

namespace portunus::proxy {

// False when the block is full; what was done until then stays done. Fields that frame the message
// or belong to the connection (Content-Length, Transfer-Encoding, Connection and kin) are left
// alone whatever the configuration says, and Host can be set but neither removed nor doubled.
[[nodiscard]] bool apply_header_changes(const HeaderSteps& steps, http::HeaderBlock& fields);

}  // namespace portunus::proxy
