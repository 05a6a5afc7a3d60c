#include "proxy/balancer.h"

#include "proxy/balance.h"

namespace portunus::proxy {

std::unique_ptr<Balancer> make_balancer(const conf::Pool& pool) {
  switch (pool.balance) {
    case conf::Balance::least_connections:
      return make_least_connections();
    case conf::Balance::round_robin:
      return make_round_robin();
    case conf::Balance::random_two:
      return make_random_two();
    case conf::Balance::consistent_hash:
      return make_consistent_hash();
  }
  return nullptr;
}

std::size_t choose_share(const conf::Forward& forward, std::uint32_t weight_sum, Random& random) {
  if (forward.shares.size() == 1) return 0;
  std::uint32_t left = random.below(weight_sum);
  for (std::size_t i = 0; i < forward.shares.size(); ++i) {
    if (left < forward.shares[i].weight) return i;
    left -= forward.shares[i].weight;
  }
  return 0;
}

}  // namespace portunus::proxy
