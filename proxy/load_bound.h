// The bound of consistent_hash (`hash_bound`; Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with
// bounded loads", 2016): a member that has so much more than its share of the requests in flight takes no
// other one. Shares are those of the weights of the moment among the members that can be selected.
//
//   over = in flight >= (1 + hash_bound) * (in flight at all + 1) * weight / weight of all
//
// So with a bound above zero there is always one that is not over, and the walk around the ring to it is
// short: some 1 / hash_bound^2 members. Sums are over what was last seen of each member: of up to kLooks all
// are looked at for each pick, of more the next kLooks in turn, which leaves the sums as old as it takes to
// get round. (A counter shared by all threads would be exact and cost each request of each of them a line of
// memory that the others write; and it would not know the weights of who is up.)
//
// Against HAProxy (hash-balance-factor: the whole proxy's counter under a lock) and Envoy
// (hash_balance_factor: requests in flight of the whole cluster): the same rule. One thread each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "proxy/balance.h"

namespace portunus::proxy {

class LoadBound {
 public:
  static constexpr std::size_t kLooks = 32;

  // `percent` of its share is what a member may have; 0 = anything.
  explicit LoadBound(std::uint32_t percent = 0) : percent_(percent) {}

  [[nodiscard]] bool is_on() const { return percent_ != 0; }
  void set(std::span<const Candidate> candidates) {
    seen_.assign(is_on() ? candidates.size() : 0, {0, 0});
    in_flight_ = weight_ = 0;
    next_ = 0;
    for (std::size_t i = 0; i < seen_.size(); ++i)
      look_at(candidates[i], seen_[i]);
  }
  // Before a pick. The candidates are those of set().
  void look(std::span<const Candidate> candidates) {
    for (std::size_t i = std::min(kLooks, seen_.size()); i > 0; --i) {
      look_at(candidates[next_], seen_[next_]);
      if (++next_ == seen_.size()) next_ = 0;
    }
  }
  // The place of the first one that the next look() is at.
  [[nodiscard]] std::size_t next() const { return next_; }
  [[nodiscard]] bool is_over(Load load) const {
    return std::uint64_t{load.in_flight} * 100 * weight_ >=
           percent_ * (in_flight_ + 1) * load.weight;
  }

 private:
  void look_at(const Candidate& candidate, Load& seen) {
    const bool counts = candidate.member->is_selectable();
    const Load now = counts ? load_of(candidate, share_of(candidate)) : Load{0, 0};
    in_flight_ += std::uint64_t{now.in_flight} - seen.in_flight;
    weight_ += std::uint64_t{now.weight} - seen.weight;
    seen = now;
  }

  std::uint32_t percent_;
  std::vector<Load> seen_;
  std::uint64_t in_flight_ = 0;  // sums of seen_
  std::uint64_t weight_ = 0;
  std::size_t next_ = 0;
};

}  // namespace portunus::proxy
