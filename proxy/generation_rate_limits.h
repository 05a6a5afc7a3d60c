// The rate limiters of a generation: those of sites and of routes, by name and rule the same objects as
// those of the generation before, so that nobody gets a new burst by a reload. Control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conf/model.h"
#include "proxy/rate_limiter.h"

namespace portunus::proxy {

struct RateLimits {
  struct Entry {
    std::string key;  // site and route
    std::shared_ptr<RateLimiter> limiter;
  };
  std::vector<Entry> entries;          // sorted by key
  std::vector<RateLimiter*> of_route;  // by Route::index; null: none
};

// `previous` may be null.
[[nodiscard]] RateLimits make_rate_limits(const conf::Model& model, const RateLimits* previous);

// What metrics show; limiters of one name are one.
struct RateLimitView {
  std::string name;
  std::uint64_t limited = 0;
  std::uint64_t reported = 0;
  std::uint64_t evicted = 0;
  std::uint64_t keys = 0;
};

// Sorted by name.
[[nodiscard]] std::vector<RateLimitView> views_of(const RateLimits& limits, std::uint64_t now_ns);

}  // namespace portunus::proxy
