// Keeps one thread's pressure (pressure.h) up to date, and says what follows from it: to exchanges by
// ExchangeContext::shed_level, to doors by accepts(), to the log, and to the metrics by a board that any
// thread may read. Owned by the worker; its thread.
//
// Memory is what requests hold: the chunks of their heads and bodies, on both sides, and the exchanges
// themselves. Neither idle connections, whose number descriptors and `max_connections` bound, nor what
// libraries take. All threads add theirs to one sum, which each compares with the bound.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "proxy/exchange.h"
#include "proxy/pressure.h"

namespace portunus::proxy {

// Written by one thread. Whoever reads `memory` first (acquire) sees levels that are as new.
struct PressureBoard {
  std::atomic<std::uint64_t> memory{0};  // bytes, of this thread
  std::array<std::atomic<PressureLevel>, kShortageCount> levels{};
  // Requests refused, by what was short and by their priority.
  std::array<std::array<std::atomic<std::uint64_t>, kPressureMost>, kShortageCount> shed{};
};

class OverloadWatch {
 public:
  OverloadWatch(ExchangeContext& context, std::atomic<std::uint64_t>& memory_of_all)
      : context_(&context), memory_of_all_(&memory_of_all) {}
  ~OverloadWatch() { memory_of_all_->fetch_sub(held_, std::memory_order_relaxed); }
  OverloadWatch(const OverloadWatch&) = delete;
  OverloadWatch& operator=(const OverloadWatch&) = delete;

  void configure(const conf::Shedding& rule);
  // A few times a second: what this thread's requests hold, and how late it comes to this.
  void look(std::uint64_t held_bytes, std::uint64_t late_ms);
  void note_descriptors(bool is_short);
  // Whether clients' connections are taken at all.
  [[nodiscard]] bool accepts() const { return pressure_.level() < kPressureMost; }
  [[nodiscard]] const PressureBoard& board() const { return board_; }

 private:
  void publish();
  void count_shed();
  void tell();

  ExchangeContext* context_;
  std::atomic<std::uint64_t>* memory_of_all_;
  std::uint64_t held_ = 0;  // of it, this thread's
  Pressure pressure_;
  PressureBoard board_;
  Shortage cause_ = Shortage::memory;  // of shed_level, as long as it is not 0
  PressureLevel told_ = 0;
  std::uint64_t told_ms_ = 0;
};

}  // namespace portunus::proxy
