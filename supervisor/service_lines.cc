#include "supervisor/service_lines.h"

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"

namespace portunus::supervisor {
namespace {

using base::LogLevel;

constexpr std::uint64_t kNsPerLine = 1'000'000'000 / kLogLinesPerSecond;

// Not line by line: each gap costs a line that tells of it.
constexpr std::uint64_t kRoomToTell = kLogLinesAtOnce / 2;
constexpr std::uint64_t kTellMs = 1000;

}  // namespace

ServiceLines::ServiceLines(uv_loop_t& loop)
    : timer_(loop, this, [](void* self) { static_cast<ServiceLines*>(self)->on_timer(); }) {}

void ServiceLines::on_line(const std::string& service,
                           std::uint32_t replica,
                           std::string_view line) {
  if (!base::is_logged(LogLevel::info)) return;
  const auto at = rates_.try_emplace({service, replica}).first;
  Rate& rate = at->second;
  refill(rate);
  if (rate.left_out > 0 && rate.room >= kRoomToTell) tell(at->first, rate);
  if (rate.left_out > 0 || rate.room == 0) {
    if (rate.left_out++ == 0) timer_.arm(kTellMs);
    return;
  }
  --rate.room;
  base::log_service_line(LogLevel::info, service, replica, line);
}

void ServiceLines::refill(Rate& rate) {
  const std::uint64_t more = (base::monotonic_ns() - rate.since_ns) / kNsPerLine;
  rate.since_ns += more * kNsPerLine;
  rate.room = std::min(rate.room + more, kLogLinesAtOnce);
}

void ServiceLines::tell(const std::pair<std::string, std::uint32_t>& who, Rate& rate) {
  base::log_service_line(
      LogLevel::info, who.first, who.second,
      fmt::format("[portunus] {} lines are not shown here", std::exchange(rate.left_out, 0)));
  --rate.room;
}

// Nothing has come for a while, maybe: then nothing else would tell.
void ServiceLines::on_timer() {
  bool is_more = false;
  for (auto& [who, rate] : rates_) {
    refill(rate);
    if (rate.left_out > 0 && rate.room >= kRoomToTell) tell(who, rate);
    is_more = is_more || rate.left_out > 0;
  }
  if (is_more) timer_.arm(kTellMs);
}

}  // namespace portunus::supervisor
