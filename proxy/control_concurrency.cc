// The bounds of requests that follow the latency of members (concurrency_keeper.h) while the control
// thread runs: looked at while some pool has one.
#include "base/clock.h"
#include "proxy/control.h"

namespace portunus::proxy {

void Control::begin_concurrency() {
  concurrency_.configure(*current_->model, current_->pool_shares);
  if (!concurrency_.is_needed()) {
    concurrency_due_.disarm();
  } else if (!concurrency_due_.is_armed()) {
    loop_.timers().arm(concurrency_due_, ConcurrencyKeeper::kStepMs);
  }
}

void Control::look_at_concurrency() {
  for (const SharedPoolShare& share : concurrency_.step(base::monotonic_ns() / 1'000'000)) {
    const std::uint64_t waiting = share->waiting_threads.load();
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      if ((waiting >> i & 1U) != 0) workers_[i]->take_turn({.pool = share});
    }
  }
  loop_.timers().arm(concurrency_due_, ConcurrencyKeeper::kStepMs);
}

}  // namespace portunus::proxy
