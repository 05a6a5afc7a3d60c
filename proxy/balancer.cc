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

}  // namespace portunus::proxy
