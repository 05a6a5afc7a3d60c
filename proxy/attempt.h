// One try at one member: picks it, leases or opens a connection, carries the request there and the
// answer back, and reports one outcome. Held by value in its owner (an Exchange, or the call to
// a service that decides about one) and started anew for each try. Knows nothing of the protocol on either side. One thread.
//
//   idle --start--> queued (all members full) --room--> connecting | ready
//   idle --start--> connecting --dialled--> ready
//   idle --start--> ready (a kept connection)
//   idle --wait--> waiting its turn --woken, time--> idle, told by AttemptOwner::on_try_again
//   ready --request sent--> waiting --final head--> streaming --end--> done
//   any --failure, deadline--> done, told once by AttemptOwner::on_attempt_failed
//   any --cancel--> idle, nothing is told
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "net/timer_wheel.h"
#include "proxy/pool.h"

namespace portunus::proxy {

class AttemptOwner;
class MetricsShard;

class Attempt final : public http::StreamHandler, public PoolWaiter {
 public:
  enum class Started : std::uint8_t {
    ready,
    pending,
    nobody,  // no member is up that was not tried; error() says what became of the last try
    failed,  // error() says why
  };
  // Tries of one request at most: beyond that the members' state is a matter for their probes.
  static constexpr std::size_t kTriesMax = 128;
  // A member that gives a request back unread, on a new connection, is asked so often again at once.
  static constexpr std::uint8_t kGivenBackMax = 3;

  explicit Attempt(AttemptOwner& owner);
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt() { cancel(); }

  // Begins a try; the members of earlier ones are not picked again.
  [[nodiscard]] Started start(Pool& pool, Affinity affinity, bool is_repeatable);
  // They may be, from now on.
  void forget_tried() { tried_.clear(); }
  [[nodiscard]] bool has_untried() const;
  // Between two tries: waits in the pool's queue, at most so long. False when that is full.
  [[nodiscard]] bool wait(WaitFor what, std::uint64_t ms);
  // Of the last such wait, when it was ended before its time.
  [[nodiscard]] std::uint64_t pause_left_ms() const;
  // Whether somebody else than the member of this try could take the request at once.
  [[nodiscard]] bool has_other();
  // The exchange does not want the answer that has begun: nothing more of it is told. To be followed
  // by drop() in a later step of the turn.
  void ignore_answer(bool has_ended);
  void drop(std::uint16_t status);
  // Ends it without a word to the exchange: the connection goes back or is closed.
  void cancel();
  // The time for the whole request is over: the member's fault, if it is what is waited for.
  void note_time_over();
  // The exchange of messages with the member is over: gives the connection back and counts the try.
  void finish(std::uint16_t status);

  // Commands towards the member; only while is_ready().
  [[nodiscard]] http::Stream& stream() { return *lease_.stream; }
  [[nodiscard]] bool is_ready() const {
    return phase_ == Phase::waiting || phase_ == Phase::streaming;
  }
  [[nodiscard]] bool is_active() const { return phase_ != Phase::idle; }
  // A byte went towards the member (or the client, in a tunnel): renews the time-out.
  void touch();
  // The exchange stopped (on = false) or resumed reading the answer.
  void set_reading(bool on);
  void enter_tunnel();

  [[nodiscard]] const base::Error& error() const { return error_; }
  [[nodiscard]] const health::Member* member() const { return member_; }
  [[nodiscard]] std::uint32_t tries() const { return tries_; }
  // While an answer comes: what the member's clients come back by (MemberSlot::sticky_id()).
  [[nodiscard]] std::uint64_t sticky_id() const {
    return lease_.slot == nullptr ? 0 : lease_.slot->sticky_id();
  }
  // Whether the member that the client's cookie names was passed over only because it is full.
  [[nodiscard]] bool keeps_client() const { return pool_->keeps_client(pick_input(tried_)); }
  // The last try failed on a connection that had been kept and was closed meanwhile: the member has
  // most probably not seen the request.
  [[nodiscard]] bool was_stale() const { return was_stale_; }

  // Loop nanoseconds of the last try, 0 = did not happen.
  struct Times {
    std::uint64_t queued_ns = 0;   // spent in the queue, all tries
    std::uint64_t connect_ns = 0;  // duration
    std::uint64_t tls_ns = 0;      // duration
    std::uint64_t sent_ns = 0;
    std::uint64_t head_ns = 0;
  };
  [[nodiscard]] const Times& times() const { return times_; }

 private:
  enum class Phase : std::uint8_t { idle, queued, pausing, connecting, waiting, streaming };

  // http::StreamHandler: the member's side.
  void on_head(http::Head& head, bool end) override;
  void on_body(std::span<const char> bytes, bool end) override;
  void on_trailers(const http::HeaderBlock& trailers) override;
  void on_drained() override;
  void on_reset(base::Error why) override;
  // PoolWaiter
  void on_dialled(base::Error failure) override;
  void on_woken() override;

  [[nodiscard]] PickInput pick_input(std::span<const health::Member* const> tried) const;
  [[nodiscard]] Started pick();
  [[nodiscard]] PickResult try_lease();
  [[nodiscard]] Started take(PickResult result);
  [[nodiscard]] Started refuse(base::EndReason reason, const char* detail);
  void leave_queue();
  void enter_queue(Phase phase, std::uint64_t ms);
  void become_ready();
  void fail(base::Error why);
  [[nodiscard]] bool is_slow() const;
  void note_head(std::uint16_t status);
  void note_end(std::uint16_t status);
  void note_failure(const base::Error& why);
  [[nodiscard]] bool is_of_connection(base::Retry retry);
  void record(std::uint16_t status);
  void end();
  void on_deadline();
  void arm(base::Milliseconds after);
  void arm_for_answer();

  AttemptOwner* owner_;
  Pool* pool_ = nullptr;
  Lease lease_;
  const health::Member* member_ = nullptr;
  Affinity affinity_;
  net::Deadline deadline_;
  base::Error error_;
  Times times_;
  std::uint64_t phase_began_ns_ = 0;
  std::uint64_t pause_ends_ns_ = 0;
  std::uint64_t queued_told_ns_ = 0;          // of times_.queued_ns: in the metrics
  std::vector<const health::Member*> tried_;  // empty, without memory, as long as nothing fails
  std::uint32_t tries_ = 0;
  std::uint8_t given_back_ = 0;  // unread, on a connection of its own
  Phase phase_ = Phase::idle;
  bool is_repeatable_ = false;
  bool needs_fresh_ = false;  // a kept connection has died under the request
  bool was_stale_ = false;
  bool was_let_in_ = false;  // into the pool's queue: it is not turned away afterwards
  WaitFor paused_for_ = WaitFor::member;
  bool is_noted_ = false;  // its outcome is known
  bool is_timed_ = false;  // the member alone decides how long its answer takes
  bool is_tunnel_ = false;
  bool is_paused_ = false;
};

// Whose request an attempt carries: hears what becomes of it, and says what it has to know.
class AttemptOwner {
 public:
  virtual void on_attempt_started(Attempt::Started started) = 0;
  virtual void on_attempt_ready() = 0;
  virtual void on_attempt_failed(base::Error why) = 0;
  // After Attempt::wait(). is_due: its time is over; else something has happened.
  virtual void on_try_again(WaitFor waited_for, bool is_due) = 0;
  virtual void on_response_head(http::Head& head, bool end) = 0;
  virtual void on_response_body(std::span<const char> bytes, bool end) = 0;
  virtual void on_response_trailers(const http::HeaderBlock& trailers) = 0;
  virtual void on_upstream_drained() = 0;
  [[nodiscard]] virtual net::Loop& loop() = 0;
  [[nodiscard]] virtual MetricsShard& metrics() = 0;
  [[nodiscard]] virtual bool is_request_done() const = 0;
  [[nodiscard]] virtual std::uint32_t pool_id() const = 0;
  // With the address that is believed to be the client's as the source.
  [[nodiscard]] virtual http::ClientInfo client_info() const = 0;

 protected:
  ~AttemptOwner() = default;
};

}  // namespace portunus::proxy
