// Sums over the shards' cells and the names of their keys: what the families of metrics_render.cc and
// metrics_upstreams.cc have in common. Not an interface for others. Control thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "proxy/metrics_render.h"
#include "proxy/metrics_store.h"

namespace portunus::proxy {

template <typename Value>
struct Summed {
  SeriesKey key;
  Value value{};
};

void add_up(std::uint64_t& to, std::uint64_t value);
void add_up(std::int64_t& to, std::int64_t value);
void add_up(base::LatencySum& to, const base::LatencySum& value);

[[nodiscard]] base::LatencySum sum_of(const base::LatencyHistogram& histogram);

[[nodiscard]] bool is_zero(const base::LatencySum& sum);
[[nodiscard]] bool is_zero(std::uint64_t value);

// `visit(store, emit)` calls emit(key, value) for each of its cells. The result is sorted by key.
template <typename Value, typename Visit>
[[nodiscard]] std::vector<Summed<Value>> gather(const MetricsSource& source, Visit visit) {
  std::vector<Summed<Value>> all;
  for (const auto& shard : source.shards) {
    visit(shard->store(),
          [&all](const SeriesKey& key, const Value& value) { all.push_back({key, value}); });
  }
  std::ranges::sort(all, {}, &Summed<Value>::key);
  std::vector<Summed<Value>> merged;
  for (const Summed<Value>& one : all) {
    if (merged.empty() || merged.back().key != one.key) {
      merged.push_back(one);
    } else {
      add_up(merged.back().value, one.value);
    }
  }
  return merged;
}

// The names of one key; is_known is false when one of them is forgotten.
struct SeriesNames {
  std::string_view listener;
  std::string_view route;
  std::string_view pool;
  std::string_view member;
  bool is_known = true;

  void take(std::string_view& name, const MetricsRegistry::Row* row, std::uint32_t id) {
    if (row != nullptr) {
      name = row->name;
    } else if (id != 0) {
      is_known = false;
    }
  }
};

[[nodiscard]] SeriesNames listener_and_route(const MetricsSource& source, std::uint64_t packed);
[[nodiscard]] SeriesNames member_names(const MetricsSource& source, std::uint32_t id);
[[nodiscard]] SeriesNames pool_names(const MetricsSource& source, std::uint32_t id);

[[nodiscard]] std::string_view reason_text(std::uint64_t index);

// Counters in a fixed array per cell become keys (id, index); zeros are left out.
template <typename Cells, typename Emit>
void emit_array(const SeriesKey& key, const Cells& cells, Emit emit) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!is_zero(cells[i].value())) emit({key.a, i}, cells[i].value());
  }
}

}  // namespace portunus::proxy
