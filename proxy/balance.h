// What the balancing policies have in common: the two tiers of a member list, the question whether
// a member may be picked, and the search of last resort. Used by balance_*.cc only. One thread
// each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "proxy/balancer.h"

namespace portunus::proxy {

[[nodiscard]] std::unique_ptr<Balancer> make_least_connections();
[[nodiscard]] std::unique_ptr<Balancer> make_round_robin();
[[nodiscard]] std::unique_ptr<Balancer> make_random_two();
// `bound_percent` of its share is what a member may have (load_bound.h); 0 = anything.
[[nodiscard]] std::unique_ptr<Balancer> make_consistent_hash(std::uint32_t bound_percent);

// One candidate, ready for the loop over many: no hop over the shared_ptr's list entry.
struct Candidate {
  const health::Member* member;
  std::uint32_t weight;  // at least 1
  std::uint32_t index;   // in the MemberList
};

// Its weight at this moment (slow start), in parts of health::kFullShare of one.
[[nodiscard]] inline std::uint32_t share_of(const Candidate& candidate) {
  return candidate.member->share.load(std::memory_order_relaxed);
}

[[nodiscard]] inline Standing standing_of(const Candidate& candidate, const PickInput& input) {
  return standing_of(*candidate.member, input);
}

// A member's requests in flight, and its weight of the moment in parts of health::kFullShare.
struct Load {
  std::uint32_t in_flight = 0;
  std::uint32_t weight = 1;
};
[[nodiscard]] inline Load load_of(const Candidate& candidate, std::uint32_t share) {
  return {candidate.member->in_flight.load(std::memory_order_relaxed), candidate.weight * share};
}

// Whether `a` is less loaded for its weight than `b`: a division without its rounding.
[[nodiscard]] inline bool is_less_loaded(Load a, Load b) {
  return std::uint64_t{a.in_flight} * b.weight < std::uint64_t{b.in_flight} * a.weight;
}

// The candidates of that tier, in the list's order.
[[nodiscard]] std::vector<Candidate> candidates_of(const MemberList& members, bool is_backup);

// Goes round once from `start` and gives the first usable candidate's place in `tier`.
struct Found {
  PickResult result = PickResult::none;
  std::size_t place = 0;
};
[[nodiscard]] Found find_usable(std::span<const Candidate> tier,
                                const PickInput& input,
                                std::size_t start);

// A policy for one tier made into a balancer: the primaries, and the backups when no primary is
// selectable. That a primary is full does not bring in the backups: the request waits in the queue.
template <typename Tier>
class TieredBalancer final : public Balancer {
 public:
  explicit TieredBalancer(const Tier& tier = Tier()) : primary_(tier), backup_(tier) {}
  void set_members(const MemberList& members) override {
    primary_.set(candidates_of(members, false));
    backup_.set(candidates_of(members, true));
  }
  [[nodiscard]] PickResult pick(const PickInput& input,
                                Random& random,
                                std::size_t& index) override {
    const PickResult result = primary_.pick(input, random, index);
    return result == PickResult::none ? backup_.pick(input, random, index) : result;
  }
  [[nodiscard]] std::uint64_t take_passed_over() override {
    if constexpr (requires { primary_.take_passed_over(); }) {
      return primary_.take_passed_over() + backup_.take_passed_over();
    } else {
      return 0;
    }
  }

 private:
  Tier primary_;
  Tier backup_;
};

}  // namespace portunus::proxy
