// round_robin: each member has a time at which its next turn is due; the earliest goes, and its
// time moves on by the inverse of its weight. So turns are spread evenly (weights 2, 1, 1 give a b
// a c, not a a b c) at O(log n) each, in a heap. First times are random, so that threads and
// processes do not march in step. A member that cannot be used when its turn comes loses it, and
// has no arrears when it is back. After 32 such members in a row the next usable one in the list's
// order is taken, which bounds the work while most of a large pool is down. Slow start makes the way
// to a member's next turn longer.
#include <algorithm>

#include "proxy/balance.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kLap = std::uint64_t{1} << 32;  // between two turns of a member of weight 1
constexpr std::size_t kSkipsMax = 32;

class RoundRobin {
 public:
  void set(std::vector<Candidate> candidates) {
    candidates_ = std::move(candidates);
    turns_.clear();
    turns_.reserve(candidates_.size());
    is_begun_ = false;
    now_ = 0;
  }

  [[nodiscard]] PickResult pick(const PickInput& input, Random& random, std::size_t& index) {
    if (!is_begun_) begin(random);
    PickResult result = PickResult::none;
    // Turns that come up leave the heap and stand behind it until one has been picked.
    std::size_t live = turns_.size();
    std::size_t place = candidates_.size();
    const std::size_t pops_max = std::min(turns_.size(), kSkipsMax);
    for (std::size_t pops = 0; pops < pops_max && place == candidates_.size(); ++pops) {
      std::ranges::pop_heap(turns_.begin(), turns_.begin() + offset(live), kLater);
      --live;
      const Standing standing = standing_of(candidates_[turns_[live].place], input);
      if (standing == Standing::full) result = PickResult::all_full;
      if (standing == Standing::usable) place = turns_[live].place;
    }
    if (place != candidates_.size()) now_ = turns_[live].due;
    while (live < turns_.size())
      requeue(live++);
    if (place == candidates_.size() && turns_.size() > kSkipsMax) {
      const Found found = find_usable(candidates_, input,
                                      random.below(static_cast<std::uint32_t>(candidates_.size())));
      if (found.result == PickResult::picked) place = found.place;
      if (found.result != PickResult::none) result = found.result;
    }
    if (place == candidates_.size()) return result;
    index = candidates_[place].index;
    return PickResult::picked;
  }

 private:
  struct Turn {
    std::uint64_t due;
    std::uint32_t place;
  };
  static constexpr auto kLater = [](const Turn& a, const Turn& b) {
    return a.due > b.due;
  };

  static std::ptrdiff_t offset(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }
  [[nodiscard]] std::uint64_t lap_of(std::uint32_t place) const {
    const Candidate& candidate = candidates_[place];
    return kLap * health::kFullShare / (std::uint64_t{candidate.weight} * share_of(candidate));
  }

  void begin(Random& random) {
    is_begun_ = true;
    for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
      turns_.push_back({(random.next() >> 32) * lap_of(i) / kLap, i});
    }
    std::ranges::make_heap(turns_, kLater);
  }

  // The turn at `live` goes back into the heap [0, live).
  void requeue(std::size_t live) {
    Turn& turn = turns_[live];
    turn.due = std::max(turn.due, now_) + lap_of(turn.place);
    std::ranges::push_heap(turns_.begin(), turns_.begin() + offset(live + 1), kLater);
  }

  std::vector<Candidate> candidates_;
  std::vector<Turn> turns_;  // a heap: the earliest first
  std::uint64_t now_ = 0;    // when the last picked one was due; wraps in no lifetime
  bool is_begun_ = false;
};

}  // namespace

std::unique_ptr<Balancer> make_round_robin() {
  return std::make_unique<TieredBalancer<RoundRobin>>();
}

}  // namespace portunus::proxy
