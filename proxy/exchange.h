// One request of a client and its response: finds the route, runs its steps, hands bodies across
// with back-pressure, starts attempts until one answers, and makes one record at its end. Neither
// knows the protocol on either side. Taken from the thread's slab with the head, given back at the
// end of the turn in which it ended; the client's stream outlives it. One thread.
//
//   request:  head -> body -> done       response: idle -> head -> body -> done
//   any --client's on_reset--> finished (the attempt is cancelled; end_reason = the client's)
//   response idle, attempt failed, may be tried again -> new try (the request is not used up)
//   response idle, attempt failed otherwise           -> own answer, finished
//   response begun, attempt failed                    -> client's stream reset: truncation shows
//   response done before request done                 -> finished; the client's stream ends itself
//   101 -> tunnel: bytes both ways until both directions have ended
#pragma once

#include <cstdint>
#include <optional>

#include "base/chunk.h"
#include "base/pinned.h"
#include "base/slab.h"
#include "net/loop.h"
#include "proxy/access_log.h"
#include "proxy/attempt.h"
#include "proxy/exchange_record.h"
#include "proxy/local_generation.h"
#include "proxy/metrics.h"

namespace portunus::proxy {

// What all exchanges of one thread share. Owned by the worker.
struct ExchangeContext {
  net::Loop& loop;
  base::Slab<Exchange>& exchanges;
  Random& random;
  MetricsShard& metrics;
  AccessLogBuffer& access_log;
  LocalGeneration* current = nullptr;  // what new exchanges start on
  http::Head reply;                    // scratch for own answers
  std::size_t running = 0;             // exchanges alive, for the drain
};

// Where the client came in.
struct ListenerKey {
  std::size_t index;  // the generation's
  std::uint32_t id;   // MetricsRegistry's
};

class Exchange final : public http::StreamHandler, private net::Deferred {
 public:
  Exchange(ExchangeContext& context,
           LocalGeneration& generation,
           http::Stream& client,
           const net::Address& peer,
           ListenerKey listener);

  // From the attempt.
  void on_attempt_ready();
  void on_attempt_failed(base::Error why);
  void on_response_head(http::Head& head, bool end);
  void on_response_body(std::span<const char> bytes, bool end);
  void on_response_trailers(const http::HeaderBlock& trailers);
  void on_upstream_drained();
  [[nodiscard]] net::Loop& loop() { return context_->loop; }
  [[nodiscard]] MetricsShard& metrics() { return context_->metrics; }
  [[nodiscard]] bool is_request_done() const { return request_done_; }
  [[nodiscard]] std::uint32_t pool_id() const { return pool_id_; }

 private:
  friend class base::Slab<Exchange>;
  enum class Phase : std::uint8_t { head, proxying, tunnel, finished };

  // http::StreamHandler: the client's side.
  void on_head(http::Head& head, bool end) override;
  void on_body(std::span<const char> bytes, bool end) override;
  void on_trailers(const http::HeaderBlock& trailers) override;
  void on_drained() override;
  void on_reset(base::Error why) override;
  // net::Deferred: the end.
  void on_turn_end() override;

  void identify_client();
  void forward(const RouteMatch& match);
  [[nodiscard]] std::uint64_t balance_key() const;
  void start_attempt(base::EndReason reason);
  [[nodiscard]] bool may_try_again(const base::Error& why) const;
  void throttle_client();
  void pause_client(bool pause);
  void begin_tunnel();
  void fail(base::Error why);
  void finish(base::EndReason reason);
  void write_record();
  void on_total_deadline();
  // exchange_reply.cc: answers made here.
  void reply_error(base::Error why, std::uint16_t status = 0);
  void reply_redirect(const RouteMatch& match);
  void reply_fixed(const RouteMatch& match);
  void send_reply(std::string_view body);

  ExchangeContext* context_;
  http::Stream* client_;
  http::Head* request_ = nullptr;
  base::Pinned<LocalGeneration> generation_;
  const Route* route_ = nullptr;
  Pool* pool_ = nullptr;
  std::uint32_t pool_id_ = 0;
  Attempt attempt_;
  base::ChunkQueue pending_;  // body that came before the attempt was ready
  const http::HeaderBlock* pending_trailers_ = nullptr;
  net::Deadline total_deadline_;
  net::Address peer_;
  std::size_t listener_;
  std::uint32_t listener_id_;
  std::string_view peer_text_;
  std::string_view client_ip_;
  std::string_view request_id_;
  std::string_view original_path_;
  std::uint64_t key_ = 0;  // for the balancer
  std::uint64_t body_bytes_max_ = 0;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
  std::uint64_t started_ns_ = 0;
  std::uint64_t first_byte_ns_ = 0;
  std::uint16_t status_ = 0;
  std::uint16_t upstream_status_ = 0;
  base::EndReason end_reason_ = base::EndReason::ok;
  base::EndReason retry_reason_ = base::EndReason::ok;
  Phase phase_ = Phase::head;
  bool request_done_ : 1 = false;
  bool request_used_ : 1 = false;  // body bytes have gone to a member: it cannot be sent again
  bool response_begun_ : 1 = false;
  bool client_paused_ : 1 = false;      // we stopped reading the client
  bool member_paused_ : 1 = false;      // we stopped reading the member
  bool client_half_ended_ : 1 = false;  // tunnel
  bool member_half_ended_ : 1 = false;  // tunnel
  bool is_websocket_ : 1 = false;
  bool is_upgraded_ : 1 = false;
  bool is_peer_trusted_ : 1 = false;
};

}  // namespace portunus::proxy
