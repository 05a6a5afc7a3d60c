#include "discovery/member_guard.h"

#include <algorithm>
#include <utility>

namespace portunus::discovery {
namespace {

bool counts(const Instance& instance) {
  return instance.is_usable || instance.is_draining;
}

std::size_t counting(const Instances& instances) {
  return static_cast<std::size_t>(std::ranges::count_if(instances, counts));
}

bool is_before(const Instance& a, const Instance& b) {
  return a.name < b.name;
}

// Both ascending by name. The instances of `known` that counted and do not in `answer` go into it.
std::vector<Instance> lost_of(const Instances& known, const Instances& answer) {
  std::vector<Instance> lost;
  for (const Instance& instance : known) {
    if (!counts(instance)) continue;
    const auto found = std::ranges::lower_bound(answer, instance.name, {}, &Instance::name);
    const bool is_named = found != answer.end() && found->name == instance.name;
    if (is_named && counts(*found)) continue;
    lost.push_back(instance);
    lost.back().is_kept = true;
    if (is_named) {
      lost.back().status = found->status;
      lost.back().reason = found->reason;
    } else {
      lost.back().reason = "Consul does not name it any more";
    }
  }
  return lost;
}

Instances merge(Instances answer, std::vector<Instance> lost) {
  Instances all;
  all.reserve(answer.size() + lost.size());
  for (Instance& instance : answer) {
    if (!std::ranges::binary_search(lost, instance, is_before)) all.push_back(std::move(instance));
  }
  std::ranges::move(lost, std::back_inserter(all));
  std::ranges::sort(all, is_before);
  return all;
}

}  // namespace

bool MemberGuard::publish(Instances instances) {
  if (instances == *list_) return false;
  list_ = std::make_shared<const Instances>(std::move(instances));
  return true;
}

void MemberGuard::restore(Instances instances, std::uint64_t now_ms) {
  note_peak(counting(instances), now_ms);
  static_cast<void>(publish(std::move(instances)));
}

void MemberGuard::note_peak(std::size_t count, std::uint64_t now_ms) {
  if (count < peak_ && now_ms - peak_at_ms_ < kPeakForMs) return;
  peak_ = count;
  peak_at_ms_ = now_ms;
}

Doubt MemberGuard::doubt_of(std::size_t lost, std::size_t count) const {
  if (!rule_.is_on || lost == 0) return Doubt::none;
  if (count == 0) return Doubt::empty;
  // Once in doubt, an answer that is only half as wrong is no better.
  if (doubt_ != Doubt::none) return Doubt::loss;
  if (unsure_until_ms_ != 0) return Doubt::loss;
  const std::size_t fallen = peak_ > count ? peak_ - count : 0;
  const bool is_much = fallen * 100 > peak_ * rule_.loss_percent && fallen >= rule_.loss_min;
  return is_much ? Doubt::loss : Doubt::none;
}

MemberGuard::Judgement MemberGuard::judge(Instances answer,
                                          const AnswerFacts& facts,
                                          std::uint64_t now_ms,
                                          AliveCheck& alive) {
  if (facts.has_index_gone_back) unsure_until_ms_ = now_ms + rule_.confirm_empty_ms;
  const bool is_unsure = now_ms < unsure_until_ms_;
  if (!is_unsure) unsure_until_ms_ = 0;
  if (now_ms - peak_at_ms_ >= kPeakForMs) note_peak(counting(*list_), now_ms);

  std::vector<Instance> lost = lost_of(*list_, answer);
  const std::size_t count = counting(answer);
  const Doubt doubt = doubt_of(lost.size(), count);
  if (doubt == Doubt::none) {
    doubt_ = doubt;
    since_ms_ = 0;
    note_peak(count, now_ms);
    return {.is_changed = publish(std::move(answer))};
  }
  // An answer that has become empty is another doubt, with its own time.
  if (doubt_ == Doubt::none || (doubt == Doubt::empty && doubt_ != Doubt::empty)) {
    since_ms_ = now_ms;
  }
  doubt_ = doubt;
  std::uint64_t needed_ms =
      doubt == Doubt::empty || is_unsure ? rule_.confirm_empty_ms : rule_.confirm_after_ms;
  if (std::ranges::any_of(lost, [&](const Instance& one) { return alive.is_alive(one); })) {
    needed_ms *= rule_.alive_factor;
  }
  if (facts.confirms_at_ms != 0 && facts.confirms_at_ms >= since_ms_ + needed_ms) {
    doubt_ = Doubt::none;
    since_ms_ = 0;
    unsure_until_ms_ = 0;
    peak_ = count;
    peak_at_ms_ = now_ms;
    return {.is_changed = publish(std::move(answer))};
  }
  const std::size_t kept = lost.size();
  const std::uint64_t due_ms = since_ms_ + needed_ms;
  return {.is_changed = publish(merge(std::move(answer), std::move(lost))),
          .doubt = doubt,
          .kept = kept,
          .confirm_in_ms = due_ms > now_ms ? due_ms - now_ms : 1'000};
}

}  // namespace portunus::discovery
