// least_connections: the member with the fewest requests in flight for its weight, counted over all
// threads. Ties, the usual case at low load, are broken at random in proportion to the weights, so
// that threads do not all turn to one member. Up to 32 members all are looked at. Above that, 32
// neighbours from a random place on; if none of these can be used, the next 32, and so on around.
// That the best of 32 is not the best of all costs little: it is within the best 3 % on average.
//
// Slow start: an idle member would be the least loaded one whatever its weight, and get every request
// until the first is answered. So those with a part of their weight do not compete: one draw by the
// weights of the moment says whether one of them has its turn, and then it goes unless it is more
// loaded for its weight than the best of the others. So it gets its share at most, and less when it
// is slow. It costs nothing when none is in slow start.
#include <array>

#include "proxy/balance.h"

namespace portunus::proxy {
namespace {

constexpr std::size_t kWindow = 32;

class LeastConnections {
 public:
  void set(std::vector<Candidate> candidates) { candidates_ = std::move(candidates); }

  [[nodiscard]] PickResult pick(const PickInput& input, Random& random, std::size_t& index) {
    const std::size_t count = candidates_.size();
    PickResult result = PickResult::none;
    std::size_t place =
        count > kWindow ? random.below(static_cast<std::uint32_t>(count)) : std::size_t{0};
    for (std::size_t seen = 0; seen < count;) {
      Best best;
      Late late;
      for (std::size_t i = 0; i < kWindow && seen < count; ++i, ++seen) {
        const Standing standing = standing_of(candidates_[place], input);
        if (standing == Standing::full) result = PickResult::all_full;
        if (standing == Standing::usable) offer(candidates_[place], best, late, random);
        if (++place == count) place = 0;
      }
      if (late.count > 0) take_late(late, best, random);
      if (best.candidate == nullptr) continue;
      index = best.candidate->index;
      return PickResult::picked;
    }
    return result;
  }

 private:
  struct Best {
    const Candidate* candidate = nullptr;
    Load load;
    std::uint32_t weight_sum = 0;  // of all that are as good

    // Requests in flight are read again: between two reads they may have changed, which makes a
    // slightly worse choice at most.
    void offer(const Candidate& other, Load its, Random& random) {
      if (candidate == nullptr || is_less_loaded(its, load)) {
        *this = {&other, its, its.weight};
      } else if (!is_less_loaded(load, its)) {
        weight_sum += its.weight;
        if (random.below(weight_sum) < its.weight) *this = {&other, its, weight_sum};
      }
    }
  };
  // Those of a window that are in slow start.
  struct Late {
    std::array<const Candidate*, kWindow> candidates;
    std::array<Load, kWindow> loads;
    std::size_t count = 0;
    std::uint32_t full_sum = 0;  // weights of those that are not
  };

  static void offer(const Candidate& candidate, Best& best, Late& late, Random& random) {
    const std::uint32_t share = share_of(candidate);
    const Load load = load_of(candidate, share);
    if (share == health::kFullShare) {
      late.full_sum += load.weight;
      best.offer(candidate, load, random);
      return;
    }
    late.candidates[late.count] = &candidate;
    late.loads[late.count++] = load;
  }

  static void take_late(const Late& late, Best& best, Random& random) {
    if (best.candidate == nullptr) {  // there are no others
      for (std::size_t i = 0; i < late.count; ++i)
        best.offer(*late.candidates[i], late.loads[i], random);
      return;
    }
    std::uint32_t sum = late.full_sum;
    for (std::size_t i = 0; i < late.count; ++i)
      sum += late.loads[i].weight;
    std::uint32_t drawn = random.below(sum);
    for (std::size_t i = 0; i < late.count; ++i) {
      if (drawn < late.loads[i].weight) {
        if (!is_less_loaded(best.load, late.loads[i])) best.candidate = late.candidates[i];
        return;
      }
      drawn -= late.loads[i].weight;
    }
  }

  std::vector<Candidate> candidates_;
};

}  // namespace

std::unique_ptr<Balancer> make_least_connections() {
  return std::make_unique<TieredBalancer<LeastConnections>>();
}

}  // namespace portunus::proxy
