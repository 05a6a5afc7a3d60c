// random_two: two members drawn at random by weight; the one with fewer requests in flight for its
// weight goes. Draws that hit a member that cannot be used are repeated a few times; then one such
// choice is enough, and without any the list is searched from a random place on. One in slow start is
// drawn as the first only, with its share as chance: as the second, being idle, it would always win.
#include <algorithm>

#include "proxy/balance.h"

namespace portunus::proxy {
namespace {

constexpr int kDrawsMax = 8;

class RandomTwo {
 public:
  void set(std::vector<Candidate> candidates) {
    candidates_ = std::move(candidates);
    ends_.clear();
    std::uint32_t end = 0;
    is_even_ = true;
    for (const Candidate& candidate : candidates_) {
      ends_.push_back(end += candidate.weight);
      is_even_ = is_even_ && candidate.weight == candidates_.front().weight;
    }
  }

  [[nodiscard]] PickResult pick(const PickInput& input, Random& random, std::size_t& index) {
    if (candidates_.empty()) return PickResult::none;
    const Candidate* first = nullptr;
    const Candidate* second = nullptr;
    for (int draw = 0; draw < kDrawsMax && second == nullptr; ++draw) {
      const Candidate& drawn = candidates_[draw_place(random)];
      if (&drawn == first || standing_of(drawn, input) != Standing::usable) continue;
      const std::uint32_t share = share_of(drawn);
      const bool is_late = share < health::kFullShare;
      if (is_late && (first != nullptr || random.below(health::kFullShare) >= share)) continue;
      (first == nullptr ? first : second) = &drawn;
    }
    if (first == nullptr) return pick_any(input, random, index);
    index = second == nullptr ? first->index : better(*first, *second).index;
    return PickResult::picked;
  }

 private:
  static const Candidate& better(const Candidate& first, const Candidate& second) {
    const bool is_better =
        is_less_loaded(load_of(second, share_of(second)), load_of(first, share_of(first)));
    return is_better ? second : first;
  }

  [[nodiscard]] std::size_t draw_place(Random& random) const {
    if (is_even_) return random.below(static_cast<std::uint32_t>(candidates_.size()));
    const std::uint32_t drawn = random.below(ends_.back());
    return static_cast<std::size_t>(std::ranges::upper_bound(ends_, drawn) - ends_.begin());
  }

  [[nodiscard]] PickResult pick_any(const PickInput& input,
                                    Random& random,
                                    std::size_t& index) const {
    const Found found = find_usable(candidates_, input, draw_place(random));
    if (found.result == PickResult::picked) index = candidates_[found.place].index;
    return found.result;
  }

  std::vector<Candidate> candidates_;
  std::vector<std::uint32_t> ends_;  // running sums of the weights
  bool is_even_ = true;              // all weights alike: no search
};

}  // namespace

std::unique_ptr<Balancer> make_random_two() {
  return std::make_unique<TieredBalancer<RandomTwo>>();
}

}  // namespace portunus::proxy
