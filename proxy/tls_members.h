// What a configuration's pools need for TLS with their members, and the same for the probes. Control
// thread.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "conf/model.h"
#include "health/prober.h"
#include "proxy/generation.h"

namespace portunus::proxy {

// By pool index; null for those in the clear. A pool that has the same as in `previous` (may be null)
// keeps the object, and with it its connections and sessions. The error is one line.
[[nodiscard]] std::expected<std::vector<net::SharedTlsClient>, std::string> make_upstream_tls(
    const conf::Model& model, const Generation* previous);

// Members of pools with TLS are probed as requests reach them.
void probe_over_tls(const Generation& generation, std::span<health::ProbeTarget> targets);

}  // namespace portunus::proxy
