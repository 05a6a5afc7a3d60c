// What Portunus refuses because it is short itself (overload_watch.h).
#include "proxy/metrics_render.h"

namespace portunus::proxy {

void render_overload(const MetricsInputs& inputs, MetricsText& out) {
  using Type = MetricsText::Type;
  constexpr std::array kPriorities{"low", "normal"};
  const OverloadView& overload = inputs.overload;
  out.family("portunus_overload_memory_bytes", Type::gauge,
             "What requests hold in heads, bodies and exchanges, all threads together.");
  out.sample({}, overload.memory);
  out.family("portunus_overload_level", Type::gauge,
             "How short the worst thread is: 1 = routes of low priority are refused, 2 = those of "
             "normal priority too, and no new connections are accepted.");
  for (std::size_t i = 0; i < kShortageCount; ++i)
    out.sample({{"reason", name_of(static_cast<Shortage>(i))}}, overload.levels[i]);
  out.family("portunus_overload_requests_shed_total", Type::counter,
             "Requests refused because Portunus was short, by of what and by their priority.");
  for (std::size_t i = 0; i < kShortageCount; ++i) {
    for (std::size_t k = 0; k < kPriorities.size(); ++k) {
      out.sample({{"reason", name_of(static_cast<Shortage>(i))}, {"priority", kPriorities[k]}},
                 overload.shed[i][k]);
    }
  }
}

}  // namespace portunus::proxy
