// Who answers this request: one policy of choosing a member. Its state is per thread and per pool;
// what threads share is in health::Member. Picking is O(1) or O(log n) however many members there
// are, as long as a fair part of them is selectable; at worst, with nearly all of them down, it
// looks at each once. It allocates nothing. A member that was tried does not count as selectable in
// that exchange. How each policy chooses is told at the top of its source.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "conf/model.h"
#include "proxy/member_list.h"

namespace portunus::proxy {

// A small fast generator (not for secrets). One per thread.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed | 1) {}
  [[nodiscard]] std::uint64_t next() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DULL;
  }
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

struct PickInput {
  std::uint64_t key = 0;  // base::stable_hash of what consistent_hash looks at
  std::span<const health::Member* const> tried;  // not again in this exchange
  std::uint32_t in_flight_max = 0xffffffff;      // a member at this many is full
  // Members that have just refused a connection and are being probed because of it: only when there is
  // nobody else.
  bool takes_suspects = false;
  std::uint64_t sticky =
      0;  // the id of the member that the client's cookie names; the pool's matter
};

// What of a request decides who takes it.
struct Affinity {
  std::uint64_t key = 0;  // as PickInput has them
  std::uint64_t sticky = 0;
};

enum class Standing : std::uint8_t { usable, full, unselectable };

[[nodiscard]] Standing standing_of(const health::Member& member, const PickInput& input);

enum class PickResult : std::uint8_t {
  picked,
  all_full,  // some are selectable, but each has in_flight_max requests
  none,      // no member is selectable (or all selectable ones were tried)
};

class Balancer {
 public:
  virtual ~Balancer() = default;
  // The list outlives its use: until the next call.
  virtual void set_members(const MemberList& members) = 0;
  // `index` into the member list, when picked. Primary members first, backups when no primary is
  // selectable; ties are broken at random.
  [[nodiscard]] virtual PickResult pick(const PickInput& input,
                                        Random& random,
                                        std::size_t& index) = 0;
  // Picks since the last call that went past a member because it had too much (consistent_hash).
  [[nodiscard]] virtual std::uint64_t take_passed_over() = 0;
};

[[nodiscard]] std::unique_ptr<Balancer> make_balancer(const conf::Pool& pool);

}  // namespace portunus::proxy
