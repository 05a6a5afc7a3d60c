// One service, asked for again and again by blocking queries. Judges each answer's head and takes its
// body apart; what it means for the list is for the owner. Control thread; a handler may start and
// confirm, but not destroy the watch.
//
//   outcome of a question              next question
//   an answer with another index       at once, for what comes after it; not more than
//                                      kBurst at once and then one in kFloorMs
//   the same index                     at once: nothing has changed
//   an index that went back            at once, with index 0
//   a failure, another agent is left   soon, there, with index 0
//   a failure everywhere               after retry_min_ms, doubling up to retry_max_ms, with jitter
//   older than stale_max_ms            at once, to the leader
//
// An agent that is not the first is left for the first after kReturnMs.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "discovery/consul_client.h"
#include "discovery/consul_json.h"
#include "discovery/consul_request.h"
#include "discovery/kept_reason.h"
#include "discovery/member_guard.h"
#include "http/fetch.h"
#include "net/timer_wheel.h"

namespace portunus::discovery {

struct WatchAnswer {
  ParsedInstances parsed;
  AnswerFacts facts;
};

class WatchHandler {
 public:
  virtual void on_answer(WatchAnswer&& answer) = 0;
  // A good answer: all is as it was.
  virtual void on_unchanged() = 0;
  // `detail` is for people.
  virtual void on_failure(KeptReason why, std::string detail) = 0;

 protected:
  ~WatchHandler() = default;
};

class ConsulWatch final : private http::FetchHandler, private SlotWaiter {
 public:
  static constexpr unsigned kBurst = 8;
  static constexpr std::uint64_t kFloorMs = 200;
  static constexpr std::uint64_t kReturnMs = 300'000;

  ConsulWatch(ConsulClient& client, ServiceQuery query, WatchHandler& handler);
  ~ConsulWatch();
  ConsulWatch(const ConsulWatch&) = delete;
  ConsulWatch& operator=(const ConsulWatch&) = delete;

  void start();
  // The client has other settings. One that waits after failures asks at once; with other agents
  // every one does.
  void change(bool has_other_agents);
  // Asks by quorum after that time, once, whatever runs then; 0 = no more.
  void confirm_in(std::uint64_t after_ms);

  [[nodiscard]] std::uint64_t index() const { return last_index_; }
  // That is asked: "127.0.0.1:8500".
  [[nodiscard]] std::string agent() const;

 private:
  struct Failure {
    KeptReason why = KeptReason::unreachable;
    std::string detail;
  };

  void on_slot() override;
  void on_fetch_done(const http::FetchResult& result) override;

  void ask();
  void ask_later(std::uint64_t after_ms);
  void send();
  void cancel();
  void on_confirm();
  void take(const http::FetchResult& result);
  void take_answer(const http::FetchResult& result);
  void ask_on();
  void fail(Failure failure);
  void go_to(std::size_t endpoint);
  [[nodiscard]] std::uint64_t back_off_ms();

  ConsulClient* client_;
  ServiceQuery query_;
  WatchHandler* handler_;
  http::Fetch* fetch_ = nullptr;
  std::uint64_t index_ = 0;       // to ask with
  std::uint64_t last_index_ = 0;  // of the last good answer of this agent; 0 = none
  std::uint64_t asked_index_ = 0;
  std::uint64_t asked_ms_ = 0;
  std::uint64_t switched_ms_ = 0;
  std::uint64_t refilled_ms_ = 0;
  std::size_t endpoint_ = 0;
  std::uint64_t failures_ = 0;  // in a row
  unsigned burst_ = kBurst;     // questions that may be asked at once
  bool is_confirming_ = false;  // the next question, or the one that runs
  bool avoids_stale_ = false;
  net::Deadline next_;
  net::Deadline confirm_;
};

}  // namespace portunus::discovery
