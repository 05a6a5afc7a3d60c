#include "discovery/consul_client.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace portunus::discovery {

ConsulClient::ConsulClient(net::Loop& loop, http::Fetcher& fetcher)
    : loop_(&loop), fetcher_(&fetcher), random_(base::monotonic_ns()) {}

void ConsulClient::set(ConsulAgent agent, std::size_t watches) {
  agent_ = std::move(agent);
  watches_ = watches;
  token_file_.set(agent_.token_file);
  serve_waiters();
}

bool ConsulClient::take_slot(SlotWaiter& waiter) {
  if (slots_ < std::max(1U, agent_.connections_max)) {
    ++slots_;
    return true;
  }
  if (!waiter.is_linked()) waiters_.push_back(waiter);
  return false;
}

void ConsulClient::give_slot() {
  --slots_;
  serve_waiters();
}

void ConsulClient::serve_waiters() {
  while (!waiters_.empty() && slots_ < std::max(1U, agent_.connections_max)) {
    ++slots_;
    waiters_.pop_front()->on_slot();
  }
}

std::uint64_t ConsulClient::wait_ms() {
  const bool is_crowded = watches_ > agent_.connections_max;
  const std::uint64_t most = is_crowded ? std::min(agent_.wait_ms, kCrowdedWaitMs) : agent_.wait_ms;
  constexpr double kSpread = 0.1;
  return static_cast<std::uint64_t>(static_cast<double>(most) * (1 - kSpread * chance()));
}

bool ConsulClient::has_token() {
  return agent_.token_file.empty() || token_file_.refresh();
}

const std::string& ConsulClient::token() const {
  return agent_.token_file.empty() ? agent_.token : token_file_.token();
}

// SplitMix64; only spreads questions in time.
double ConsulClient::chance() {
  random_ += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = random_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  mixed ^= mixed >> 31;
  return static_cast<double>(mixed >> 11) * 0x1.0p-53;
}

}  // namespace portunus::discovery
