#include "proxy/overload_watch.h"

#include <utility>

#include "base/log.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kTellMs = 1'000;  // between two lines of the log

const char* words_of(PressureLevel level) {
  if (level == 0) return "is no longer short: all requests are served";
  return level == 1 ? "is short: routes of low priority are refused"
                    : "is short: only routes of high priority are served, and no new connections";
}

}  // namespace

void OverloadWatch::configure(const conf::Shedding& rule) {
  pressure_.configure(rule);
  publish();
}

void OverloadWatch::look(std::uint64_t held_bytes, std::uint64_t late_ms) {
  const std::uint64_t before = std::exchange(held_, held_bytes);
  const std::uint64_t all =
      memory_of_all_->fetch_add(held_ - before, std::memory_order_relaxed) + held_ - before;
  pressure_.note_memory(all);
  pressure_.note_delay(late_ms);
  publish();
  board_.memory.store(held_, std::memory_order_release);
  tell();
}

void OverloadWatch::note_descriptors(bool is_short) {
  if (pressure_.level(Shortage::descriptors) == (is_short ? 1 : 0)) return;
  pressure_.note_descriptors(is_short);
  publish();
}

void OverloadWatch::publish() {
  count_shed();
  cause_ = pressure_.cause();
  context_->shed_level = pressure_.level();
  for (std::size_t i = 0; i < kShortageCount; ++i)
    board_.levels[i].store(pressure_.level(static_cast<Shortage>(i)), std::memory_order_relaxed);
}

// Before the cause changes.
void OverloadWatch::count_shed() {
  auto& counts = board_.shed[static_cast<std::size_t>(cause_)];
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const std::uint64_t count = std::exchange(context_->shed[i], 0);
    if (count > 0) counts[i].fetch_add(count, std::memory_order_relaxed);
  }
}

// What it is at the moment: a level that has come and gone between two lines is in the metrics alone.
void OverloadWatch::tell() {
  const PressureLevel level = pressure_.level();
  const std::uint64_t now_ms = context_->loop.now_ms();
  if (level == told_ || (told_ms_ != 0 && now_ms - told_ms_ < kTellMs)) return;
  told_ms_ = now_ms;
  const char* const what = level == 0 ? "" : name_of(cause_);
  base::log(level == 0 ? base::LogLevel::info : base::LogLevel::warn, "proxy",
            "overload: a thread {}{}{}{}", words_of(level), level == 0 ? "" : " (", what,
            level == 0 ? "" : ")");
  told_ = level;
}

}  // namespace portunus::proxy
