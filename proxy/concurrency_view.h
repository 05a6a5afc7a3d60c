// What is shown of a pool whose bound of requests follows the latency of its members
// (concurrency_keeper.h): by the admin API and the metrics. A value.
#pragma once

#include <cstdint>

namespace portunus::proxy {

struct ConcurrencyView {
  std::uint32_t limit = 0;
  std::uint32_t in_flight = 0;
  std::uint64_t latency_ns = 0;  // 0 = not known, as the next
  std::uint64_t alone_ns = 0;
  bool is_throttling = false;
};

}  // namespace portunus::proxy
