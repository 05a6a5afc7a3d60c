// The pools whose bound of requests follows the latency of their members (`overload.adaptive`): reads what
// data-plane threads count in PoolShare, asks health::ConcurrencyLimit, and writes the limit there, which
// they compare with. Owned by Control; control thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "conf/model.h"
#include "health/concurrency_limit.h"
#include "proxy/concurrency_view.h"
#include "proxy/member_list.h"

namespace portunus::proxy {

class ConcurrencyKeeper {
 public:
  static constexpr std::uint64_t kStepMs = 100;

  // The pools of the generation that is being taken, and their shares, by pool index. What is known of
  // a pool that stays is kept.
  void configure(const conf::Model& model, const std::vector<SharedPoolShare>& shares);
  [[nodiscard]] bool is_needed() const { return !pools_.empty(); }
  // Every kStepMs. Pools with a higher limit than before, for whose room somebody may wait.
  [[nodiscard]] std::vector<SharedPoolShare> step(std::uint64_t now_ms);
  // nullopt: the pool has no such limit.
  [[nodiscard]] std::optional<ConcurrencyView> view(const std::string& pool) const;

 private:
  struct Kept {
    health::ConcurrencyLimit limit;
    SharedPoolShare share;
    bool is_told = false;  // to the log
    std::uint64_t told_ms = 0;
  };
  static void tell(const std::string& pool, Kept& kept, std::uint64_t now_ms);

  std::map<std::string, Kept> pools_;
};

}  // namespace portunus::proxy
