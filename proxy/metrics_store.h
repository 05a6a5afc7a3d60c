// The memory of one MetricsShard: tables of cells, one cell per series or group of series, made
// when first used. The owning thread finds and adds cells; the control thread walks them at the
// same time. That is safe because cells never move, are published with a release store, and are
// only given up as a whole (MetricsShard::compact).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/counter.h"
#include "base/error.h"
#include "proxy/auth_result.h"
#include "proxy/metrics.h"

namespace portunus::proxy {

// Packed ids; what they are is said at each cell.
struct SeriesKey {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  friend auto operator<=>(const SeriesKey&, const SeriesKey&) = default;
};

[[nodiscard]] constexpr std::uint64_t pack_ids(std::uint32_t high, std::uint32_t low) {
  return std::uint64_t{high} << 32 | low;
}
[[nodiscard]] constexpr std::uint32_t high_id(std::uint64_t packed) {
  return static_cast<std::uint32_t>(packed >> 32);
}
[[nodiscard]] constexpr std::uint32_t low_id(std::uint64_t packed) {
  return static_cast<std::uint32_t>(packed);
}

// Open addressing for the writer, a linked list of chunks for the reader.
template <typename Cell, std::size_t kChunkCells>
class CellTable {
 public:
  // The writer. Null when there is none.
  [[nodiscard]] Cell* find(const SeriesKey& key) const {
    if (slots_.empty()) return nullptr;
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = hash(key) & mask;; i = (i + 1) & mask) {
      const Slot& slot = slots_[i];
      if (slot.cell == nullptr || slot.key == key) return slot.cell;
    }
  }
  // The writer.
  Cell& find_or_add(const SeriesKey& key) {
    Cell* const cell = find(key);
    return cell != nullptr ? *cell : add(key);
  }
  // The writer; `key` is not there yet. `prepare` sees the cell before any reader does.
  template <typename Prepare>
  Cell& add(const SeriesKey& key, Prepare prepare) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    if (chunks_.empty() || chunks_.back()->used.load(std::memory_order_relaxed) == kChunkCells) {
      auto chunk = std::make_unique<Chunk>();
      std::atomic<Chunk*>& link = chunks_.empty() ? first_ : chunks_.back()->next;
      chunks_.push_back(std::move(chunk));
      link.store(chunks_.back().get(), std::memory_order_release);
    }
    Chunk& chunk = *chunks_.back();
    const std::size_t index = chunk.used.load(std::memory_order_relaxed);
    Cell& cell = chunk.cells[index];
    cell.key = key;
    prepare(cell);
    place({key, &cell});
    ++size_;
    chunk.used.store(index + 1, std::memory_order_release);
    return cell;
  }
  Cell& add(const SeriesKey& key) {
    return add(key, [](Cell&) {});
  }
  // The writer.
  [[nodiscard]] std::size_t size() const { return size_; }

  // The reader.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Chunk* chunk = first_.load(std::memory_order_acquire); chunk != nullptr;
         chunk = chunk->next.load(std::memory_order_acquire)) {
      const std::size_t used = chunk->used.load(std::memory_order_acquire);
      for (std::size_t i = 0; i < used; ++i)
        visit(chunk->cells[i]);
    }
  }

 private:
  struct Slot {
    SeriesKey key;
    Cell* cell = nullptr;
  };
  struct Chunk {
    std::atomic<std::size_t> used{0};
    std::atomic<Chunk*> next{nullptr};
    std::array<Cell, kChunkCells> cells{};
  };

  static std::size_t hash(const SeriesKey& key) {
    std::uint64_t x = key.a * 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 32) ^ key.b) * 0xd6e8feb86659fd93U;
    return static_cast<std::size_t>(x ^ (x >> 32));
  }
  void place(const Slot& slot) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = hash(slot.key) & mask;
    while (slots_[i].cell != nullptr)
      i = (i + 1) & mask;
    slots_[i] = slot;
  }
  void grow() {
    std::vector<Slot> old(std::max<std::size_t>(16, slots_.size() * 2));
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.cell != nullptr) place(slot);
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::atomic<Chunk*> first_{nullptr};
};

// (listener, -)
struct ListenerCell {
  SeriesKey key;
  base::Gauge connections;
  base::Counter connections_total;
  std::array<base::Counter, kRejectionCount> connections_rejected;  // by ConnectionRejection
  base::Gauge in_flight;
  std::array<base::Counter, base::kEndReasonCount> requests_rejected;
  base::Counter requests_reported;  // rate_limited, by limits that only report
  std::array<base::Counter, kHandshakeCount> handshakes_failed;  // by Handshake
  // TLS 1.2, 1.2 resumed, 1.3, 1.3 resumed.
  std::array<base::Counter, 4> handshakes;
  std::array<base::LatencyHistogram, 4> handshake_durations;
  base::Counter h2_connections;
  base::Counter h2_streams;
  std::array<base::Counter, 2> h2_resets;  // by the client, by us
  base::Counter h2_goaways;
  std::array<base::Counter, http::kH2AbuseCount> h2_floods;
};

// (site, -); site 0: of handshakes that name nobody's host, or none
struct SiteCell {
  SeriesKey key;
  std::array<base::Counter, 2> handshakes;                       // full, resumed
  std::array<base::Counter, kHandshakeCount> handshakes_failed;  // by Handshake
};

// (listener:route, -)
struct RouteCell {
  SeriesKey key;
  base::Counter bytes_in;
  base::Counter bytes_out;
  base::LatencyHistogram first_byte;
};

// (listener:route, class), class = status / 100
struct DurationCell {
  SeriesKey key;
  base::LatencyHistogram duration;
};

// (listener:route, pool:code|method|protocol)
struct RequestCell {
  SeriesKey key;
  base::Counter requests;
  RouteCell* route = nullptr;  // the writer's shortcuts
  DurationCell* duration = nullptr;
};

inline constexpr std::size_t kPhases = 5;  // queue, connect, tls, first_byte, body

// (pool, -)
struct PoolCell {
  SeriesKey key;
  base::Gauge queued;
  std::array<base::Gauge, 2> upgraded;  // by UpgradeKind
  std::array<base::LatencyHistogram, kPhases> phases;
  std::array<std::array<base::Counter, 2>, base::kEndReasonCount> retries;  // by RetryResult
  std::array<base::Counter, kRetryDenialCount> denials;
  std::array<base::Counter, kStickyResultCount> sticky;  // by StickyResult
  std::array<base::Counter, kAuthResultCount> auth;      // by AuthResult
};

// (member, -)
struct MemberCell {
  SeriesKey key;
  base::LatencyHistogram duration;
  std::array<base::Counter, base::kEndReasonCount> errors;
};

// (member, code)
struct CodeCell {
  SeriesKey key;
  base::Counter requests;
};

// (content coding, -)
struct CodingCell {
  SeriesKey key;
  base::Counter answers;
  base::Counter bytes_in;
  base::Counter bytes_out;
  base::Counter busy;  // answers that went as they came because of the bound
};

struct MetricsStore {
  // Beyond this a shard counts new combinations under route kOtherRoute: a member may answer with
  // any of 500 codes, and memory must have an end.
  static constexpr std::size_t kRequestSeriesMax = 500'000;
  static constexpr std::uint32_t kOtherRoute = 0xffffffff;
  static constexpr std::uint32_t kNoProtocol = 0xff;  // the head was not understood

  CellTable<ListenerCell, 4> listeners;
  CellTable<SiteCell, 16> sites;
  CellTable<RouteCell, 16> routes;
  CellTable<DurationCell, 16> durations;
  CellTable<RequestCell, 64> requests;
  CellTable<PoolCell, 2> pools;
  CellTable<MemberCell, 8> members;
  CellTable<CodeCell, 32> codes;
  CellTable<CodingCell, 4> codings;
};

}  // namespace portunus::proxy
