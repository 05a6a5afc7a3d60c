// The families of /metrics, group by group, in the order of the text. Not an interface for others:
// the parts of Metrics::render. Control thread.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "proxy/metrics.h"
#include "proxy/metrics_text.h"

namespace portunus::proxy {

// What the families from the shards need.
struct MetricsSource {
  const MetricsRegistry& registry;
  const std::vector<std::unique_ptr<MetricsShard>>& shards;
};

void render_listeners(const MetricsSource& source, MetricsText& out);
// TLS with clients.
void render_handshakes(const MetricsSource& source, MetricsText& out);
void render_site_handshakes(const MetricsSource& source, MetricsText& out);
void render_h2(const MetricsSource& source, MetricsText& out);
void render_requests(const MetricsSource& source, MetricsText& out);
void render_pools(const MetricsSource& source, MetricsText& out);
void render_attempts(const MetricsSource& source, MetricsText& out);
// From MetricsInputs.
void render_members(const MetricsInputs& inputs, MetricsText& out);
void render_probes(const MetricsInputs& inputs, MetricsText& out);
void render_breakers(const MetricsInputs& inputs, MetricsText& out);
void render_compression(const MetricsSource& source, MetricsText& out);
void render_rate_limits(const MetricsInputs& inputs, MetricsText& out);
void render_overload(const MetricsInputs& inputs, MetricsText& out);
void render_services(const MetricsInputs& inputs, MetricsText& out);
void render_config(const MetricsInputs& inputs, MetricsText& out);
void render_process(double started_s, MetricsText& out);

}  // namespace portunus::proxy
