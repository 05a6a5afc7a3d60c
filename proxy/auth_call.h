// The question to a service whether a request may go on (`forward_auth`): a GET of its own at a member of
// the service's pool, tried again by that pool's rules, and what becomes of the answer. Of 2xx the
// fields are taken and the body is dropped; any other answer is handed on as it comes. From a slab of the
// thread, lent to one Exchange, which hears of the outcome once and gives it back. One thread.
//
//   asking --2xx head--> granted --end--> Exchange::on_auth_granted
//   asking --a status that is tried again--> asking another member
//   asking --another head--> denied: Exchange::on_auth_denied, on_denial_body, on_denial_trailers
//   any --failure--> Exchange::on_auth_failed
#pragma once

#include <cstdint>
#include <span>

#include "http/message.h"
#include "net/loop.h"
#include "proxy/attempt.h"

namespace portunus::proxy {

class Exchange;

class AuthCall final : private AttemptOwner, private net::Deferred {
 public:
  AuthCall(Exchange& exchange, Pool& pool, std::uint32_t pool_id);
  ~AuthCall();
  AuthCall(const AuthCall&) = delete;
  AuthCall& operator=(const AuthCall&) = delete;

  // To be filled before start().
  [[nodiscard]] http::Head& question() { return question_; }
  void start();
  // The client takes too much time for the answer that is handed on, or takes it again.
  void set_reading(bool on) { attempt_.set_reading(on); }
  // The time for all of it is over.
  void note_time_over() { attempt_.note_time_over(); }
  // Gives the connection back; not inside a callback of its stream.
  void finish();
  [[nodiscard]] Pool& pool() { return *pool_; }
  [[nodiscard]] std::uint32_t pool_id() const override { return pool_id_; }

 private:
  enum class Phase : std::uint8_t { asking, retrying, granted, denied };
  // Of the body of an answer that lets the request pass, more is not waited for.
  static constexpr std::size_t kDroppedMax = std::size_t{64} * 1024;

  // AttemptOwner
  void on_attempt_started(Attempt::Started started) override;
  void on_attempt_ready() override;
  void on_attempt_failed(base::Error why) override;
  void on_try_again(WaitFor waited_for, bool is_due) override;
  void on_response_head(http::Head& head, bool end) override;
  void on_response_body(std::span<const char> bytes, bool end) override;
  void on_response_trailers(const http::HeaderBlock& trailers) override;
  void on_upstream_drained() override {}
  [[nodiscard]] net::Loop& loop() override;
  [[nodiscard]] MetricsShard& metrics() override;
  [[nodiscard]] bool is_request_done() const override { return true; }
  [[nodiscard]] http::ClientInfo client_info() const override;
  // net::Deferred: what the callbacks of the stream have put off.
  void on_turn_end() override;

  void begin_try();
  void fail(base::Error why);
  void wait_for_member();
  void wait_for_budget();
  [[nodiscard]] bool may_try_again(const base::Error& why);
  [[nodiscard]] bool wants_other_answer(std::uint16_t status);
  [[nodiscard]] bool take_retry();
  void give_retry();
  [[nodiscard]] std::uint64_t window_left_ms();

  Exchange* exchange_;
  Pool* pool_;
  std::uint32_t pool_id_;
  std::uint32_t sends_ = 0;  // tries that ended after the question had been sent
  http::Head question_;
  Attempt attempt_;
  std::uint64_t started_ns_;
  std::size_t dropped_ = 0;  // bytes
  std::uint16_t status_ = 0;
  Phase phase_ = Phase::asking;
  bool is_host_ours_ = false;  // the client gave no Host
  bool is_cut_ = false;        // the rest of the answer is not waited for
  bool costs_retry_ = false;
  bool holds_retry_ = false;
};

}  // namespace portunus::proxy
