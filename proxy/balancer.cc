#include "proxy/balancer.h"

#include "proxy/balance.h"

namespace portunus::proxy {
namespace {

// Whole percents, as the configuration has them.
std::uint32_t bound_percent_of(const conf::Pool& pool) {
  if (pool.hash_bound_ratio <= 0) return 0;
  return static_cast<std::uint32_t>(100.5 + pool.hash_bound_ratio * 100);
}

}  // namespace

std::unique_ptr<Balancer> make_balancer(const conf::Pool& pool) {
  switch (pool.balance) {
    case conf::Balance::least_connections:
      return make_least_connections();
    case conf::Balance::round_robin:
      return make_round_robin();
    case conf::Balance::random_two:
      return make_random_two();
    case conf::Balance::consistent_hash:
      return make_consistent_hash(bound_percent_of(pool));
  }
  return nullptr;
}

}  // namespace portunus::proxy
