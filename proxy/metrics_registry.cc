#include "proxy/metrics_registry.h"

#include <algorithm>

namespace portunus::proxy {
namespace {

// Neither host:port nor a pool's name contains a newline.
std::string key_of(std::string_view name, std::string_view pool) {
  std::string key(pool);
  if (!pool.empty()) key.push_back('\n');
  key.append(name);
  return key;
}

}  // namespace

std::uint32_t MetricsRegistry::id(Kind kind, std::string_view name, std::string_view pool) {
  Names& names = names_[static_cast<std::size_t>(kind)];
  const auto [found, is_new] = names.ids.try_emplace(key_of(name, pool), names.last + 1);
  Row& row = names.rows[found->second];
  if (is_new) {
    ++names.last;
    row.name = name;
    row.pool = pool;
  }
  if (is_building_) {
    row.was_seen = true;
  } else {
    row.is_in_use = true;
  }
  return found->second;
}

void MetricsRegistry::begin_generation() {
  abandon_generation();
  is_building_ = true;
}

void MetricsRegistry::end_generation(std::uint64_t now_ms) {
  for (Names& names : names_) {
    for (auto& [id, row] : names.rows) {
      if (!row.was_seen && row.is_in_use) row.left_ms = now_ms;
      row.is_in_use = row.was_seen;
      row.was_seen = false;
    }
  }
  is_building_ = false;
}

// Names that only the failed build has asked for stay until the next generation leaves them out.
void MetricsRegistry::abandon_generation() {
  for (Names& names : names_) {
    for (auto& [id, row] : names.rows)
      row.was_seen = false;
  }
  is_building_ = false;
}

void MetricsRegistry::member_left(std::uint32_t member_id, std::uint64_t now_ms) {
  Names& members = names_[static_cast<std::size_t>(Kind::member)];
  const auto found = members.rows.find(member_id);
  if (found == members.rows.end()) return;
  found->second.is_in_use = false;
  found->second.left_ms = now_ms;
}

std::vector<std::string> MetricsRegistry::listener_names() const {
  const Names& listeners = names_[static_cast<std::size_t>(Kind::listener)];
  std::vector<std::string> result(listeners.last + 1);
  for (const auto& [id, row] : listeners.rows)
    result[id] = row.name;
  return result;
}

bool MetricsRegistry::forget_old(std::uint64_t now_ms) {
  std::size_t forgotten = 0;
  for (Names& names : names_) {
    forgotten += std::erase_if(names.ids, [&names, now_ms](const auto& entry) {
      const auto row = names.rows.find(entry.second);
      if (row->second.is_in_use || row->second.was_seen) return false;
      if (now_ms < row->second.left_ms + kKeepMs) return false;
      names.rows.erase(row);
      return true;
    });
  }
  return forgotten > 0;
}

MetricsRegistry::Live MetricsRegistry::live() const {
  const auto ids = [this](Kind kind) {
    std::vector<std::uint32_t> result;
    for (const auto& [id, row] : names_[static_cast<std::size_t>(kind)].rows)
      result.push_back(id);
    std::ranges::sort(result);
    return result;
  };
  return {ids(Kind::listener), ids(Kind::route), ids(Kind::pool), ids(Kind::member),
          ids(Kind::site)};
}

const MetricsRegistry::Row* MetricsRegistry::row(Kind kind, std::uint32_t id) const {
  const Names& names = names_[static_cast<std::size_t>(kind)];
  const auto found = names.rows.find(id);
  return found == names.rows.end() ? nullptr : &found->second;
}

}  // namespace portunus::proxy
