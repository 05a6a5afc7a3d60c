// The families of rate limits.
#include "proxy/generation_rate_limits.h"
#include "proxy/metrics_render.h"

namespace portunus::proxy {

void render_rate_limits(const MetricsInputs& inputs, MetricsText& out) {
  using Type = MetricsText::Type;
  out.family("portunus_client_limit_uncounted_total", Type::counter,
             "What no client's limit has counted, because too many clients were there at once.");
  out.sample({{"of", "connections"}}, inputs.uncounted_connections);
  out.sample({{"of", "requests"}}, inputs.uncounted_requests);
  if (inputs.rate_limits.empty()) return;
  out.family("portunus_rate_limit_decisions_total", Type::counter,
             "Requests that were refused because there were too many, or would have been.");
  for (const RateLimitView& view : inputs.rate_limits) {
    out.sample({{"limiter", view.name}, {"decision", "limited"}}, view.limited);
    out.sample({{"limiter", view.name}, {"decision", "reported"}}, view.reported);
  }
  out.family("portunus_rate_limit_evictions_total", Type::counter,
             "Keys that were forgotten before their whole burst was there again.");
  for (const RateLimitView& view : inputs.rate_limits)
    out.sample({{"limiter", view.name}}, view.evicted);
  out.family("portunus_rate_limit_keys", Type::gauge,
             "Keys that are remembered: their whole burst is not there again yet.");
  for (const RateLimitView& view : inputs.rate_limits)
    out.sample({{"limiter", view.name}}, view.keys);
}

}  // namespace portunus::proxy
