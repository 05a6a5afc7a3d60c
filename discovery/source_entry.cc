#include "discovery/source_entry.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "base/clock.h"
#include "base/log.h"
#include "discovery/snapshot.h"

namespace portunus::discovery {
namespace {

// A list that stays the same is written again, so that its age on the disk is true.
constexpr std::uint64_t kSaveAgainMs = std::uint64_t{3'600} * 1'000;
constexpr std::uint64_t kUsPerMs = 1'000;

KeptReason kept_of(Doubt doubt) {
  switch (doubt) {
    case Doubt::none:
      return KeptReason::none;
    case Doubt::empty:
      return KeptReason::empty;
    case Doubt::loss:
      return KeptReason::loss;
  }
  return KeptReason::none;
}

std::uint64_t count_kept(const Instances& instances) {
  return static_cast<std::uint64_t>(std::ranges::count_if(instances, &Instance::is_kept));
}

}  // namespace

ConsulSource::Entry::Entry(ConsulSource& source, const ServiceQuery& query, std::string key)
    : watch(source.client_, query, *this), source_(&source), guard_(query.guard) {
  status_.key = std::move(key);
  status_.service = query.service;
}

void ConsulSource::Entry::start() {
  restore();
  watch.start();
}

void ConsulSource::Entry::restore() {
  const ConsulAgent& agent = source_->client_.agent();
  if (agent.snapshots.empty()) return;
  auto snapshot = load_snapshot(agent.snapshots, status_.key);
  if (!snapshot) {
    base::log(base::LogLevel::debug, "discovery", "no snapshot of {}: {}", status_.key,
              snapshot.error());
    return;
  }
  const std::uint64_t age_us = base::between(snapshot->saved_us, base::wall_us());
  if (age_us / kUsPerMs > agent.snapshot_max_age_ms) return;
  guard_.restore(std::move(snapshot->instances), source_->loop_->now_ms());
  status_.source = ListSource::snapshot;
  status_.last_success_us = snapshot->saved_us;
  is_list_new = has_tried = true;
  source_->note_change(*this);
}

bool ConsulSource::Entry::save(const std::string& folder) {
  if (!std::exchange(needs_save, false) || doubt_ != KeptReason::none) return false;
  saved_ms_ = source_->loop_->now_ms();
  const auto saved = save_snapshot(
      folder, status_.key, {.instances = *guard_.list(), .saved_us = status_.last_success_us});
  if (!saved) {
    base::log(base::LogLevel::warn, "discovery", "the list of {} is not saved: {}", status_.key,
              saved.error());
  }
  return true;
}

// ---- what the watch says ----

void ConsulSource::Entry::note_good() {
  status_.source = ListSource::consul;
  status_.last_success_us = base::wall_us();
  status_.last_error.clear();
  good_ms_ = source_->loop_->now_ms();
  has_tried = true;
  if (good_ms_ - saved_ms_ >= kSaveAgainMs) needs_save = true;
  set_kept(doubt_);
  if (needs_save) source_->save_later();
}

void ConsulSource::Entry::on_answer(WatchAnswer&& answer) {
  const std::uint64_t now_ms = source_->loop_->now_ms();
  const bool is_first = status_.source != ListSource::consul;
  status_.index = watch.index();
  status_.left_out = answer.parsed.left_out;
  status_.left_out_reason = std::move(answer.parsed.left_out_reason);
  const std::size_t named = answer.parsed.instances.size();
  const auto judged = guard_.judge(std::move(answer.parsed.instances), answer.facts, now_ms, *this);
  doubt_ = kept_of(judged.doubt);
  confirm_at_ms_ = judged.doubt == Doubt::none ? 0 : now_ms + judged.confirm_in_ms;
  watch.confirm_in(judged.confirm_in_ms);
  if (doubt_ != KeptReason::none) {
    ++status_.updates.kept;
    status_.kept_detail = guard_detail(named);
  } else {
    ++(judged.is_changed || is_first ? status_.updates.changed : status_.updates.unchanged);
    status_.kept_detail.clear();
  }
  if (judged.is_changed || is_first) is_list_new = needs_save = true;
  note_good();
  if (is_list_new) source_->note_change(*this);
}

void ConsulSource::Entry::on_unchanged() {
  ++status_.updates.unchanged;
  note_good();
}

void ConsulSource::Entry::on_failure(KeptReason why, std::string detail) {
  ++status_.updates.error;
  status_.last_error = std::move(detail);
  status_.last_error_us = base::wall_us();
  has_tried = true;
  set_kept(why);
}

bool ConsulSource::Entry::is_alive(const Instance& instance) {
  return source_->events_->is_alive(instance);
}

void ConsulSource::Entry::set_kept(KeptReason kept) {
  if (kept != status_.kept) {
    if (!std::exchange(is_kept_new, true)) told_kept = status_.kept;
    status_.kept = kept;
    status_.kept_since_us = kept == KeptReason::none ? 0 : base::wall_us();
  }
  if (is_kept_new || source_->is_round_open_) source_->note_change(*this);
}

std::string ConsulSource::Entry::guard_detail(std::size_t named) const {
  return fmt::format("{} of {} instances lost; {} named", count_kept(*guard_.list()),
                     guard_.list()->size(), named);
}

ServiceStatus ConsulSource::Entry::status() const {
  ServiceStatus status = status_;
  status.instances = guard_.list();
  status.kept_instances = count_kept(*guard_.list());
  status.agent = watch.agent();
  const std::uint64_t now_ms = source_->loop_->now_ms();
  if (confirm_at_ms_ > now_ms) {
    constexpr std::uint64_t kMsPerSecond = 1'000;
    status.kept_detail += fmt::format("; asked again in {} s",
                                      (confirm_at_ms_ - now_ms + kMsPerSecond - 1) / kMsPerSecond);
  }
  if (status.source == ListSource::consul) {
    status.age_ms = now_ms - good_ms_;
  } else if (status.source == ListSource::snapshot) {
    status.age_ms = base::between(status.last_success_us, base::wall_us()) / kUsPerMs;
  }
  return status;
}

}  // namespace portunus::discovery
