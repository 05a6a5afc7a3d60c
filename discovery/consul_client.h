// What the watches of one source share: the agents, the token, the number of connections, and
// chance. Owned by the source; control thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/intrusive_list.h"
#include "discovery/consul_settings.h"
#include "discovery/token_file.h"
#include "http/fetch.h"
#include "net/loop.h"

namespace portunus::discovery {

// Waits for a connection.
class SlotWaiter : public base::ListHook<SlotWaiter> {
 public:
  // It has one, as if take_slot() had just said so.
  virtual void on_slot() = 0;

 protected:
  ~SlotWaiter() = default;
};

class ConsulClient {
 public:
  // More services than connections take turns; each asks so long.
  static constexpr std::uint64_t kCrowdedWaitMs = 2'000;

  ConsulClient(net::Loop& loop, http::Fetcher& fetcher);

  void set(ConsulAgent agent, std::size_t watches);
  [[nodiscard]] const ConsulAgent& agent() const { return agent_; }
  [[nodiscard]] net::Loop& loop() { return *loop_; }
  [[nodiscard]] http::Fetcher& fetcher() { return *fetcher_; }

  // False: there is none free, and on_slot() follows.
  [[nodiscard]] bool take_slot(SlotWaiter& waiter);
  void give_slot();

  // A little less than the wait that is set, so that watches do not stay in step.
  [[nodiscard]] std::uint64_t wait_ms();
  // False when there should be a token, and is none.
  [[nodiscard]] bool has_token();
  // After has_token(); empty = none is sent.
  [[nodiscard]] const std::string& token() const;
  // 0 to 1.
  [[nodiscard]] double chance();

 private:
  void serve_waiters();

  net::Loop* loop_;
  http::Fetcher* fetcher_;
  ConsulAgent agent_;
  TokenFile token_file_;
  std::size_t watches_ = 0;
  std::size_t slots_ = 0;  // taken
  base::IntrusiveList<SlotWaiter, SlotWaiter> waiters_;
  std::uint64_t random_;
};

}  // namespace portunus::discovery
