// Members from Consul: one blocking query for each service that pools want (consul_watch.h), judged
// by a guard (member_guard.h), kept on disk for a start without Consul (snapshot.h), and told as
// whole lists. Errors never change a list. Control thread only. stop() comes before
// http::Fetcher::close_all() and Loop::stop(), and the object outlives Loop::run(). Events come in a
// later turn than the command that caused them; a handler may call any method.
//
// The first list of a service is told at once; a change that follows another within kGatherMs is
// told together with those that come until then.
#pragma once

#include <uv.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "discovery/consul_client.h"
#include "discovery/consul_settings.h"
#include "discovery/instance.h"
#include "discovery/kept_reason.h"
#include "http/fetch.h"
#include "net/loop.h"

namespace portunus::discovery {

enum class ListSource : std::uint8_t { none, snapshot, consul };
[[nodiscard]] const char* name_of(ListSource source);

// What became of queries. The label `result` of portunus_discovery_updates_total.
struct UpdateCounts {
  std::uint64_t changed = 0;    // a list was published
  std::uint64_t unchanged = 0;  // an answer that said nothing new
  std::uint64_t kept = 0;       // an answer that the guard did not believe
  std::uint64_t error = 0;      // no answer, or a bad one
};

// What is known of one query. Wall-clock times in microseconds since 1970, 0 = never.
struct ServiceStatus {
  std::string key;
  std::string service;
  InstanceList instances;  // as published; never null
  ListSource source = ListSource::none;
  KeptReason kept = KeptReason::none;
  std::uint64_t kept_since_us = 0;
  std::uint64_t kept_instances = 0;   // Instance::is_kept
  std::string kept_detail;            // for people: "3 of 4 instances gone; confirmed in 7 s"
  std::uint64_t last_success_us = 0;  // of a good answer, changed or not; of a snapshot its time
  std::uint64_t age_ms = 0;           // since then
  std::string last_error;             // empty after a good answer
  std::uint64_t last_error_us = 0;
  std::uint64_t index = 0;      // X-Consul-Index of the last good answer
  std::string agent;            // that is asked: "127.0.0.1:8500"
  std::uint64_t left_out = 0;   // entries of the last answer that cannot be members
  std::string left_out_reason;  // of the first of them
  UpdateCounts updates;
};

class ConsulEvents {
 public:
  // The list of a query is another one, or came for the first time. From a snapshot, too.
  virtual void on_instances(const std::string& key, const InstanceList& instances) = 0;
  // ServiceStatus::kept became another one; for the log.
  virtual void on_kept(const ServiceStatus& /*status*/, KeptReason /*was*/) {}
  // Whether our own probes find a member good, that Consul does not name any more; asked before its
  // loss is believed. False also when that is not known.
  [[nodiscard]] virtual bool is_alive(const Instance& /*instance*/) { return false; }
  // The first of these has happened: every query has a list from Consul or a snapshot, or its first
  // try has failed. Once for each set() with new queries.
  virtual void on_first_lists() {}

 protected:
  ~ConsulEvents() = default;
};

class ConsulSource final : private net::Deferred {
 public:
  static constexpr std::uint64_t kGatherMs = 50;

  ConsulSource(net::Loop& loop, http::Fetcher& fetcher, ConsulEvents& events);
  ~ConsulSource();
  ConsulSource(const ConsulSource&) = delete;
  ConsulSource& operator=(const ConsulSource&) = delete;

  // From now on. Equal queries are watched once; those that were wanted before go on with what they
  // have, with their next question under the new settings; those that are gone end at once and are
  // forgotten. From a turn of the loop.
  void set(ConsulAgent agent, const std::vector<ServiceQuery>& wanted);
  // Ends all; no event follows.
  void stop();

  // Of key_of(query); nothing when it is not wanted.
  [[nodiscard]] std::optional<ServiceStatus> status(const std::string& key) const;
  // Of all, by key.
  [[nodiscard]] std::vector<ServiceStatus> statuses() const;
  // Null when there is none yet.
  [[nodiscard]] InstanceList instances(const std::string& key) const;

 private:
  class Entry;
  friend class Entry;

  void on_turn_end() override;
  void note_change(Entry& entry);
  void tell(bool is_gathered);
  void note_first_tries();
  void save_later();
  void save();
  static void on_gathered(uv_timer_t* timer);

  net::Loop* loop_;
  ConsulEvents* events_;
  ConsulClient client_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;  // by key
  uv_timer_t* gather_;                                     // frees itself when it is closed
  net::Deadline save_;
  bool is_round_open_ = false;
  bool is_stopped_ = false;
};

}  // namespace portunus::discovery
