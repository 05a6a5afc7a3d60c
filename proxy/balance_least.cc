// least_connections: the member with the fewest requests in flight for its weight, counted over all
// threads. Ties, the usual case at low load, are broken at random in proportion to the weights, so
// that threads do not all turn to one member. Up to 32 members all are looked at. Above that, 32
// neighbours from a random place on; if none of these can be used, the next 32, and so on around.
// That the best of 32 is not the best of all costs little: it is within the best 3 % on average.
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
      for (std::size_t i = 0; i < kWindow && seen < count; ++i, ++seen) {
        const Standing standing = standing_of(candidates_[place], input);
        if (standing == Standing::full) result = PickResult::all_full;
        if (standing == Standing::usable) best.offer(candidates_[place], random);
        if (++place == count) place = 0;
      }
      if (best.candidate == nullptr) continue;
      index = best.candidate->index;
      return PickResult::picked;
    }
    return result;
  }

 private:
  struct Best {
    const Candidate* candidate = nullptr;
    std::uint32_t in_flight = 0;
    std::uint32_t weight_sum = 0;  // of all that are as good

    void offer(const Candidate& other, Random& random) {
      // Read again: between two reads it may have changed, which makes a slightly worse choice at
      // most.
      const std::uint32_t load = other.member->in_flight.load(std::memory_order_relaxed);
      if (candidate == nullptr || is_less_loaded(other, load, *candidate, in_flight)) {
        *this = {&other, load, other.weight};
      } else if (!is_less_loaded(*candidate, in_flight, other, load)) {
        weight_sum += other.weight;
        if (random.below(weight_sum) < other.weight) *this = {&other, load, weight_sum};
      }
    }
  };

  std::vector<Candidate> candidates_;
};

}  // namespace

std::unique_ptr<Balancer> make_least_connections() {
  return std::make_unique<TieredBalancer<LeastConnections>>();
}

}  // namespace portunus::proxy
