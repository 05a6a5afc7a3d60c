// What /v1/pools and the metrics show of a pool's discovery. Plain values; pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/json_writer.h"
#include "discovery/source.h"
#include "proxy/metrics_text.h"

namespace portunus::proxy {

// An object: where the list is from, how old it is, and why it is not Consul's of this moment.
void write_discovery(base::JsonWriter& json, const discovery::ServiceStatus& status);

// The families of discovery.
void render_discovery(const std::vector<discovery::ServiceStatus>& services, MetricsText& out);

}  // namespace portunus::proxy
