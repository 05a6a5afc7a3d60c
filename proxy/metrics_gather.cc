#include "proxy/metrics_gather.h"

namespace portunus::proxy {

void add_up(std::uint64_t& to, std::uint64_t value) {
  to += value;
}
void add_up(std::int64_t& to, std::int64_t value) {
  to += value;
}
void add_up(base::LatencySum& to, const base::LatencySum& value) {
  for (std::size_t i = 0; i < base::kLatencyBuckets; ++i)
    to.buckets[i] += value.buckets[i];
  to.sum_ns += value.sum_ns;
}

base::LatencySum sum_of(const base::LatencyHistogram& histogram) {
  base::LatencySum sum;
  histogram.add_to(sum);
  return sum;
}

bool is_zero(const base::LatencySum& sum) {
  return std::ranges::all_of(sum.buckets, [](std::uint64_t n) { return n == 0; });
}
bool is_zero(std::uint64_t value) {
  return value == 0;
}

SeriesNames listener_and_route(const MetricsSource& source, std::uint64_t packed) {
  SeriesNames names;
  names.take(names.listener, source.registry.listener(high_id(packed)), high_id(packed));
  if (low_id(packed) == MetricsStore::kOtherRoute) {
    names.route = "_OTHER";
  } else {
    names.take(names.route, source.registry.route(low_id(packed)), low_id(packed));
  }
  return names;
}

SeriesNames member_names(const MetricsSource& source, std::uint32_t id) {
  SeriesNames names;
  const MetricsRegistry::Row* const row = source.registry.member(id);
  names.is_known = row != nullptr;
  if (row != nullptr) {
    names.pool = row->pool;
    names.member = row->name;
  }
  return names;
}

SeriesNames pool_names(const MetricsSource& source, std::uint32_t id) {
  SeriesNames names;
  names.take(names.pool, source.registry.pool(id), id);
  return names;
}

std::string_view reason_text(std::uint64_t index) {
  return base::name_of(static_cast<base::EndReason>(index));
}

}  // namespace portunus::proxy
