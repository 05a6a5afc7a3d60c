// consistent_hash: each member has points on a ring, as many as its weight asks for, placed by its
// name alone, so that every thread, process and restart agrees. A key belongs to the next point.
// When a member leaves, its keys alone move, to the next points; the same members serve while one
// is down or full. A member of weight 1 has 128 points (shares within some 9 % of each other)
// unless the ring would outgrow 2^18 points; then all have fewer, by powers of two. In slow start a
// member takes that share of its keys, always the same ones first, so that each moves once. With a bound
// (load_bound.h) a member that has too much in flight is passed over while it has, for the next point's;
// when the first kPatience that are met have too much (one key, more than a part of the members can take),
// the least loaded of them and of some others goes.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/hash.h"
#include "proxy/balance.h"
#include "proxy/load_bound.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kPointsPerWeight = 128;
constexpr std::uint64_t kPointsMax = std::uint64_t{1} << 18;
// A walk past so many members in vain asks first whether there is any use in going on.
constexpr std::size_t kPatience = 64;

class Ring {
 public:
  explicit Ring(std::uint32_t bound_percent = 0) : bound_(bound_percent) {}
  void set(std::vector<Candidate> candidates) {
    candidates_ = std::move(candidates);
    bound_.set(candidates_);
    seen_.assign(candidates_.size(), 0);
    walk_ = 0;
    std::uint64_t weight_sum = 0;
    for (const Candidate& candidate : candidates_)
      weight_sum += candidate.weight;
    unsigned shift = 0;
    while ((weight_sum * kPointsPerWeight) >> shift > kPointsMax)
      ++shift;
    std::vector<Point> points;
    points.reserve((weight_sum * kPointsPerWeight >> shift) + candidates_.size());
    for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
      const std::uint64_t name = base::stable_hash(candidates_[i].member->name);
      const std::uint64_t count =
          std::max<std::uint64_t>(1, (candidates_[i].weight * kPointsPerWeight) >> shift);
      for (std::uint64_t k = 0; k < count; ++k) {
        points.push_back({static_cast<std::uint32_t>(base::stable_hash({}, name + k)), i});
      }
    }
    arrange(points);
  }

  [[nodiscard]] PickResult pick(const PickInput& input, Random& /*random*/, std::size_t& index) {
    if (points_.empty()) return PickResult::none;
    std::size_t at = begin_of(static_cast<std::uint32_t>(input.key));
    begin_walk();
    PickResult result = PickResult::none;
    Second second;
    std::size_t members = 0;
    while (members < candidates_.size() && second.over_count < kPatience) {
      const Point point = points_[at % points_.size()];
      ++at;
      if (seen_[point.place] == walk_) continue;
      seen_[point.place] = walk_;
      ++members;
      const Candidate& candidate = candidates_[point.place];
      const Standing standing = standing_of(candidate, input);
      if (standing == Standing::usable && !second.takes(candidate, input.key, bound_)) {
        return give(candidate, second, index);
      }
      if (standing == Standing::full) result = PickResult::all_full;
      if (members == kPatience) {
        const Found found = find_usable(candidates_, input, 0);
        if (found.result != PickResult::picked) return found.result;
      }
    }
    if (second.late != nullptr) return give(*second.late, second, index);
    if (second.over_count == kPatience) look_elsewhere(input, second);
    if (second.over == nullptr) return result;
    index = second.over->index;
    return PickResult::picked;
  }

  [[nodiscard]] std::uint64_t take_passed_over() { return std::exchange(passed_over_, 0); }

 private:
  // Who goes when nobody better is met.
  struct Second {
    const Candidate* late = nullptr;  // the first in slow start whose share this key is not of
    const Candidate* over = nullptr;  // the least loaded of those that have too much
    Load over_load;
    std::size_t over_count = 0;

    void offer(const Candidate& candidate, Load load) {
      if (over != nullptr && !is_less_loaded(load, over_load)) return;
      over = &candidate;
      over_load = load;
    }

    // False: it can be used at once.
    bool takes(const Candidate& candidate, std::uint64_t key, const LoadBound& bound) {
      const std::uint32_t share = share_of(candidate);
      if (bound.is_on()) {
        const Load load = load_of(candidate, share);
        if (bound.is_over(load)) {
          offer(candidate, load);
          ++over_count;
          return true;
        }
      }
      if (is_its_turn(share, key)) return false;
      if (late == nullptr) late = &candidate;
      return true;
    }
  };

  PickResult give(const Candidate& candidate, const Second& second, std::size_t& index) {
    if (second.over_count > 0) ++passed_over_;
    index = candidate.index;
    return PickResult::picked;
  }

  // At other members with each pick.
  void look_elsewhere(const PickInput& input, Second& second) const {
    std::size_t place = bound_.next();
    for (std::size_t i = std::min(LoadBound::kLooks, candidates_.size()); i > 0; --i) {
      const Candidate& candidate = candidates_[place];
      if (standing_of(candidate, input) == Standing::usable) {
        second.offer(candidate, load_of(candidate, share_of(candidate)));
      }
      if (++place == candidates_.size()) place = 0;
    }
  }

  // The key's own point.
  [[nodiscard]] std::size_t begin_of(std::uint32_t key) {
    std::size_t at = begins_[key >> key_shift_];
    while (at < points_.size() && points_[at].at < key)
      ++at;
    return at;
  }

  // By other bits of the key than those that say where it is on the ring.
  static bool is_its_turn(std::uint32_t share, std::uint64_t key) {
    return (key >> 32) % health::kFullShare < share;
  }

  struct Point {
    std::uint32_t at;
    std::uint32_t place;  // in candidates_
  };

  // Sorts by way of buckets, about one for each point: a sort of all takes four times as long, and
  // the data path waits. The buckets' beginnings then serve the look-up.
  void arrange(const std::vector<Point>& points) {
    const auto bits = std::max(1, static_cast<int>(std::bit_width(points.size())) - 1);
    key_shift_ = static_cast<unsigned>(32 - bits);
    begins_.assign((std::size_t{1} << bits) + 1, 0);
    for (const Point& point : points)
      ++begins_[(point.at >> key_shift_) + 1];
    for (std::size_t i = 1; i < begins_.size(); ++i)
      begins_[i] += begins_[i - 1];
    points_.resize(points.size());
    // Filling moves each beginning to its bucket's end, which is the next one's beginning.
    for (const Point& point : points)
      points_[begins_[point.at >> key_shift_]++] = point;
    std::ranges::move_backward(begins_.begin(), begins_.end() - 1, begins_.end());
    begins_.front() = 0;
    for (std::size_t i = 0; i + 1 < begins_.size(); ++i) {
      std::sort(points_.begin() + begins_[i], points_.begin() + begins_[i + 1],
                [this](const Point& a, const Point& b) {
                  if (a.at != b.at) return a.at < b.at;
                  return candidates_[a.place].member->name < candidates_[b.place].member->name;
                });
    }
  }

  // Forgets which members the last walk has seen, and looks at loads anew.
  void begin_walk() {
    if (bound_.is_on()) bound_.look(candidates_);
    if (++walk_ != 0) return;
    std::ranges::fill(seen_, 0);
    walk_ = 1;
  }

  std::vector<Candidate> candidates_;
  std::vector<Point> points_;  // by `at`
  std::vector<std::uint32_t>
      begins_;               // of the points whose upper bits are the index; one more at the end
  unsigned key_shift_ = 31;  // leaves these upper bits
  std::vector<std::uint32_t> seen_;  // by place: the last walk that met it
  std::uint32_t walk_ = 0;
  LoadBound bound_;
  std::uint64_t passed_over_ = 0;
};

}  // namespace

std::unique_ptr<Balancer> make_consistent_hash(std::uint32_t bound_percent) {
  return std::make_unique<TieredBalancer<Ring>>(Ring(bound_percent));
}

}  // namespace portunus::proxy
