// What a ConsulSource has for one query: the watch, the guard, and what is known. Only for source.cc
// and source_entry.cc.
#pragma once

#include <cstdint>
#include <string>

#include "discovery/consul_watch.h"
#include "discovery/member_guard.h"
#include "discovery/source.h"

namespace portunus::discovery {

class ConsulSource::Entry final : private WatchHandler, private AliveCheck {
 public:
  Entry(ConsulSource& source, const ServiceQuery& query, std::string key);
  ~Entry() = default;
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  // With what the disk knows, if there is a folder.
  void start();
  [[nodiscard]] ServiceStatus status() const;
  // Writes the list if it is believed and another one than on the disk, or has not been written for
  // long. False: there was nothing to do.
  bool save(const std::string& folder);

  ConsulWatch watch;
  // What is to be told.
  bool is_list_new = false;
  bool is_kept_new = false;
  KeptReason told_kept = KeptReason::none;
  std::uint64_t told_ms = 0;  // when a list was told last; 0 = never
  bool has_tried = false;     // an answer, a snapshot or a failure has come
  bool needs_save = false;

 private:
  void on_answer(WatchAnswer&& answer) override;
  void on_unchanged() override;
  void on_failure(KeptReason why, std::string detail) override;
  [[nodiscard]] bool is_alive(const Instance& instance) override;

  void restore();
  void note_good();
  void set_kept(KeptReason kept);
  [[nodiscard]] std::string guard_detail(std::size_t named) const;

  ConsulSource* source_;
  MemberGuard guard_;
  ServiceStatus status_;
  KeptReason doubt_ = KeptReason::none;  // of the guard, apart from failures
  std::uint64_t good_ms_ = 0;            // monotonic
  std::uint64_t confirm_at_ms_ = 0;
  std::uint64_t saved_ms_ = 0;
};

}  // namespace portunus::discovery
