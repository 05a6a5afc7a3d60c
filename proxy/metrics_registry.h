// Stable small numbers for the names that appear as labels: listeners, sites, routes, pools, members. The
// same name has the same id for as long as it is known, across reloads, so series go on counting;
// an id is never given to another name. 0 means "none". Names that no generation uses any more are
// remembered for one hour. Control thread only; the data path carries the ids (Route::metrics_id,
// Member::metrics_id, ExchangeRecord::listener and ::pool_id).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace portunus::proxy {

class MetricsRegistry {
 public:
  static constexpr std::uint64_t kKeepMs = 3'600'000;

  // While a generation is built: between begin_generation() and end_generation() every name in use
  // is asked for once; those that were not have left. A failed build calls abandon_generation()
  // instead.
  void begin_generation();
  void end_generation(std::uint64_t now_ms);
  void abandon_generation();

  // Also outside a generation, for names that come and go by themselves; then they count as in use.
  std::uint32_t listener_id(std::string_view name) { return id(Kind::listener, name, {}); }
  std::uint32_t site_id(std::string_view name) { return id(Kind::site, name, {}); }
  std::uint32_t route_id(std::string_view name) { return id(Kind::route, name, {}); }
  std::uint32_t pool_id(std::string_view name) { return id(Kind::pool, name, {}); }
  std::uint32_t member_id(std::string_view pool, std::string_view name) {
    return id(Kind::member, name, pool);
  }
  // A member that left its pool without a reload.
  void member_left(std::uint32_t member_id, std::uint64_t now_ms);

  // For LogNames: the names by id.
  [[nodiscard]] std::vector<std::string> listener_names() const;

  // Forgets names that left more than kKeepMs ago; true when there were any, and then every shard
  // is to be compacted (MetricsShard::compact).
  bool forget_old(std::uint64_t now_ms);

  // The ids that are known, sorted.
  struct Live {
    std::vector<std::uint32_t> listeners;
    std::vector<std::uint32_t> routes;
    std::vector<std::uint32_t> pools;
    std::vector<std::uint32_t> members;
    std::vector<std::uint32_t> sites;
  };
  [[nodiscard]] Live live() const;

  struct Row {
    std::string name;
    std::string pool;  // of a member
    std::uint64_t left_ms = 0;
    bool is_in_use = true;
    bool was_seen = false;  // in the generation being built
  };
  // Null once forgotten.
  [[nodiscard]] const Row* listener(std::uint32_t id) const { return row(Kind::listener, id); }
  [[nodiscard]] const Row* site(std::uint32_t id) const { return row(Kind::site, id); }
  [[nodiscard]] const Row* route(std::uint32_t id) const { return row(Kind::route, id); }
  [[nodiscard]] const Row* pool(std::uint32_t id) const { return row(Kind::pool, id); }
  [[nodiscard]] const Row* member(std::uint32_t id) const { return row(Kind::member, id); }

 private:
  enum class Kind : std::uint8_t { listener, route, pool, member, site };
  struct Names {
    std::unordered_map<std::string, std::uint32_t> ids;
    std::unordered_map<std::uint32_t, Row> rows;
    std::uint32_t last = 0;
  };

  std::uint32_t id(Kind kind, std::string_view name, std::string_view pool);
  [[nodiscard]] const Row* row(Kind kind, std::uint32_t id) const;

  std::array<Names, 5> names_;
  bool is_building_ = false;
};

}  // namespace portunus::proxy
