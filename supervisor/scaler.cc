#include "supervisor/scaler.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"

namespace portunus::supervisor {
namespace {

constexpr double kTolerance = 0.1;
constexpr double kRounding = 1e-9;  // 3 * 0.7 / 0.7 is not to be a little more than 3
constexpr std::uint64_t kIntervalMinMs = 1'000;
constexpr std::uint64_t kIntervalMaxMs = 10'000;
constexpr std::uint64_t kSamplesWanted = 5;  // in an average

}  // namespace

const char* name_of(ScaleSignal signal) {
  switch (signal) {
    case ScaleSignal::cpu:
      return "cpu";
    case ScaleSignal::in_flight:
      return "in_flight";
    case ScaleSignal::queue:
      return "queue";
  }
  return "";
}

std::uint64_t Scaler::interval_ms() const {
  return std::clamp(base::whole_ms(settings_.up_after) / kSamplesWanted, kIntervalMinMs,
                    kIntervalMaxMs);
}

void Scaler::forget() {
  window_.clear();
  since_ms_.reset();
  low_since_ms_.reset();
  is_short_ = false;
}

bool Scaler::is_known(const ScaleSample& sample) const {
  const bool needs_requests = settings_.in_flight > 0 || settings_.queue > 0;
  return sample.is_served && sample.replicas > 0 &&
         (settings_.cpu_percent == 0 || sample.cpus.has_value()) &&
         (!needs_requests || sample.requests.has_value());
}

void Scaler::add(const ScaleSample& sample) {
  const RequestLoad requests = sample.requests.value_or(RequestLoad{});
  const double waiting = requests.waiting;
  window_.push_back(
      {sample.now_ms, sample.cpus.value_or(0), requests.in_flight + waiting, waiting});
  while (window_.front().at_ms + base::whole_ms(settings_.up_after) < sample.now_ms)
    window_.pop_front();
}

// Of all that is looked at, what asks for most.
Scaler::Wish Scaler::wish(const ScaleSample& sample) const {
  Entry mean{};
  for (const Entry& entry : window_) {
    mean.cpus += entry.cpus / static_cast<double>(window_.size());
    mean.requests += entry.requests / static_cast<double>(window_.size());
    mean.waiting += entry.waiting / static_cast<double>(window_.size());
  }
  Wish most;
  const auto consider = [&](const Wish& wish) {
    const double least = std::max(most.least, wish.least);
    if (most.target == 0 || wish.replicas > most.replicas) most = wish;
    most.least = least;
  };
  const auto track = [&](ScaleSignal signal, double load, double target) {
    const bool is_over = load > sample.replicas * target * (1 + kTolerance);
    const double takes = is_over ? load / target : std::min<double>(load / target, sample.replicas);
    consider({takes, load / (target * (1 - kTolerance)), signal, load, target});
  };
  if (settings_.cpu_percent > 0) track(ScaleSignal::cpu, mean.cpus, settings_.cpu_percent / 100.0);
  if (settings_.in_flight > 0) track(ScaleSignal::in_flight, mean.requests, settings_.in_flight);
  if (settings_.queue > 0) {
    const double capacity = std::max(sample.requests.value_or(RequestLoad{}).capacity, 1U);
    const double takes = mean.requests / capacity;
    const double now = sample.replicas;
    const bool is_over = mean.waiting >= settings_.queue;
    const double least = takes / (1 - kTolerance);
    consider({is_over ? takes : std::min(takes, now), is_over ? std::max(least, now) : least,
              ScaleSignal::queue, mean.waiting, static_cast<double>(settings_.queue)});
  }
  return most;
}

// How many there should be; `replicas` when not more.
std::uint32_t Scaler::more(const Wish& wish, std::uint32_t replicas) {
  const double takes = std::ceil(wish.replicas - kRounding);
  is_short_ = takes > max_ && replicas >= max_;
  if (takes <= replicas || replicas >= max_) return replicas;
  const auto wanted = static_cast<std::uint32_t>(std::min<double>(takes, max_));
  return std::min(wanted, replicas * 2);
}

std::optional<ScaleDecision> Scaler::decide(const ScaleSample& sample) {
  if (!is_known(sample)) {
    forget();
    return std::nullopt;
  }
  if (sample.replicas != replicas_) low_since_ms_.reset();
  replicas_ = sample.replicas;
  add(sample);
  const std::uint64_t since_ms = since_ms_.value_or(sample.now_ms);
  since_ms_ = since_ms;
  if (sample.now_ms - since_ms < base::whole_ms(settings_.up_after)) return std::nullopt;
  const Wish wish = this->wish(sample);
  const std::uint32_t wanted = more(wish, sample.replicas);
  const bool is_held = sample.now_ms < held_until_ms_;
  ScaleDecision decision{sample.replicas, wanted, wish.signal, wish.load, wish.target};
  if (wanted > sample.replicas) {
    low_since_ms_.reset();
    if (is_held) return std::nullopt;
    forget();
    return decision;
  }
  const bool is_low = sample.replicas > min_ && wish.least <= sample.replicas - 1 + kRounding;
  if (!is_low) low_since_ms_.reset();
  if (!is_low) return std::nullopt;
  const std::uint64_t low_since_ms = low_since_ms_.value_or(sample.now_ms);
  low_since_ms_ = low_since_ms;
  if (is_held || sample.now_ms - low_since_ms < base::whole_ms(settings_.down_after))
    return std::nullopt;
  low_since_ms_ = sample.now_ms;
  replicas_ = decision.to = sample.replicas - 1;
  return decision;
}

}  // namespace portunus::supervisor
