// One request of a client and its response: finds the route, runs its steps, hands bodies across
// with back-pressure, starts attempts until one answers, and makes one record at its end. Neither
// knows the protocol on either side. Taken from the thread's slab with the head, given back at the
// end of the turn in which it ended; the client's stream outlives it. One thread.
//
//   request:  head -> body -> done       response: idle -> head -> body -> done
//   request head, on a route with `basic_auth` -> checking, until name and password are known to be right
//   then, on one with `forward_auth` -> asking, until the service has let it pass; another answer
//                                     -> refusing, until the client has that
//   any --client's on_reset--> finished (the attempt is cancelled; end_reason = the client's)
//   response idle, attempt failed, may be tried again -> new try (exchange_retry.cc)
//   response idle, attempt failed otherwise           -> own answer, finished
//   response begun, attempt failed                    -> client's stream reset: truncation shows;
//                                                        a gRPC answer ends with a status instead
//   response done before request done                 -> finished; the client's stream ends itself
//   101 -> tunnel: bytes both ways until both directions have ended
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/chunk.h"
#include "base/count_table.h"
#include "base/pinned.h"
#include "base/slab.h"
#include "http/encoder_pool.h"
#include "http/forwarding.h"
#include "net/loop.h"
#include "proxy/access_log.h"
#include "proxy/attempt.h"
#include "proxy/auth_call.h"
#include "proxy/auth_result.h"
#include "proxy/credentials.h"
#include "proxy/exchange_record.h"
#include "proxy/local_generation.h"
#include "proxy/metrics.h"
#include "proxy/rate_table.h"

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
  std::size_t kept_bytes = 0;          // of bodies that may have to be sent again
  http::EncoderPool encoders{};
  base::Slab<AuthCall, 8> auth_calls{};
  Credentials* credentials = nullptr;  // never null where a route has `basic_auth`
  // Requests to routes of a lower priority are refused, and counted here by it (overload_watch.h).
  std::uint8_t shed_level = 0;
  std::array<std::uint64_t, 2> shed{};
};

// Where the client came in.
struct ListenerKey {
  std::size_t index;  // the generation's
  std::uint32_t id;   // MetricsRegistry's
};

class Exchange final : public http::StreamHandler,
                       private AttemptOwner,
                       private net::Deferred,
                       private CredentialWaiter {
 public:
  Exchange(ExchangeContext& context,
           LocalGeneration& generation,
           http::Stream& client,
           const http::ClientInfo& client_info,
           ListenerKey listener);

  [[nodiscard]] net::Loop& loop() override { return context_->loop; }
  [[nodiscard]] MetricsShard& metrics() override { return context_->metrics; }
  [[nodiscard]] http::ClientInfo client_info() const override;

  // From the call to the service that is asked (exchange_forward_auth.cc).
  [[nodiscard]] bool take_auth_fields(const http::HeaderBlock& answer);  // false: no room
  void on_auth_granted();
  void on_auth_denied(http::Head& head, bool end);
  void on_denial_body(std::span<const char> bytes, bool end);
  void on_denial_trailers(const http::HeaderBlock& trailers);
  void on_auth_failed(base::Error why);

 private:
  friend class base::Slab<Exchange>;
  enum class Phase : std::uint8_t { head, checking, asking, refusing, proxying, tunnel, finished };

  // http::StreamHandler: the client's side.
  void on_head(http::Head& head, bool end) override;
  void on_body(std::span<const char> bytes, bool end) override;
  void on_trailers(const http::HeaderBlock& trailers) override;
  void on_drained() override;
  void on_reset(base::Error why) override;
  // AttemptOwner: the members' side.
  void on_attempt_started(Attempt::Started started) override;
  void on_attempt_ready() override;
  void on_attempt_failed(base::Error why) override;
  void on_try_again(WaitFor waited_for, bool is_due) override;
  void on_response_head(http::Head& head, bool end) override;
  void on_response_body(std::span<const char> bytes, bool end) override;
  void on_response_trailers(const http::HeaderBlock& trailers) override;
  void on_upstream_drained() override;
  [[nodiscard]] bool is_request_done() const override { return request_done_; }
  [[nodiscard]] std::uint32_t pool_id() const override { return pool_id_; }
  // net::Deferred: the end.
  void on_turn_end() override;

  void identify_client();
  // After everything that may turn the request away.
  void go_on(const RouteMatch& match);
  void act(const RouteMatch& match);
  // exchange_auth.cc: by name and password.
  [[nodiscard]] bool authenticate(const RouteMatch& match);
  void on_checked(bool is_right) override;
  void refuse_credentials();
  [[nodiscard]] bool tell_user(http::HeaderBlock& fields);
  [[nodiscard]] bool is_user_field(std::string_view name) const;
  [[nodiscard]] bool names_user(const http::HeaderBlock& trailers) const;
  // exchange_forward_auth.cc: by a service that is asked.
  void ask_service(const RouteMatch& match);
  [[nodiscard]] bool make_question_for_service(const conf::ForwardAuth& rule, http::Head& question);
  void end_asking(AuthResult result);
  void end_auth_call();
  // exchange_admission.cc: who may come in.
  [[nodiscard]] bool admit();
  [[nodiscard]] bool is_within_rate(const net::Address& client);
  [[nodiscard]] bool is_within_count(const net::Address& client);
  [[nodiscard]] net::Address client_address() const;
  [[nodiscard]] bool has_client_shown_enough() const;
  [[nodiscard]] std::string_view user() const;
  [[nodiscard]] http::Sender sender() const;
  void forward(const RouteMatch& match);
  [[nodiscard]] std::uint64_t total_limit_ms() const;
  [[nodiscard]] const char* upgrade_fault(const http::Head& head) const;
  [[nodiscard]] std::size_t choose_pool() const;  // by index in the generation
  // exchange_sticky.cc: clients that come back to their member.
  [[nodiscard]] std::size_t pool_of_cookie() const;
  void find_own_member();
  void name_member(http::Head& head);
  void begin_keeping_body();
  void keep_body(std::span<const char> bytes);
  void let_go_of_body();
  void send_kept_body();
  // Its body and trailers count: it goes to a member, or may.
  [[nodiscard]] bool takes_request() const {
    return phase_ == Phase::proxying || phase_ == Phase::checking || phase_ == Phase::asking;
  }
  void throttle_client();
  void throttle_member();
  void pause_client(bool pause);
  void begin_tunnel();
  void fail(base::Error why);
  void finish(base::EndReason reason);
  void write_record();
  void on_total_deadline();
  // exchange_retry.cc: tries and what is between them.
  void start_attempt(base::EndReason reason);
  [[nodiscard]] bool is_repeatable() const;
  [[nodiscard]] bool may_be_sent_twice() const;
  [[nodiscard]] std::uint64_t window_left_ms() const;
  [[nodiscard]] bool may_try_again(const base::Error& why);
  [[nodiscard]] bool may_send_again();
  [[nodiscard]] bool wants_other_answer(const http::Head& head, bool end);
  void try_other_answer();
  void wait_for_member();
  void wait_for_budget();
  [[nodiscard]] bool take_retry();
  void give_retry();
  // Counts it; always false.
  bool deny(RetryDenial why);
  // exchange_reply.cc: answers made here.
  void reply_error(base::Error why, std::uint16_t status = 0);
  void reply_redirect(const RouteMatch& match);
  void reply_fixed(const RouteMatch& match);
  void send_reply(std::string_view body);
  [[nodiscard]] bool add_timing(base::Arena& arena, http::HeaderBlock& fields) const;
  void end_call(base::Error why);

  // exchange_cors.cc: pages of other sites.
  [[nodiscard]] RouteMatch find_route(http::Head& head);
  void reply_preflight();
  // exchange_compress.cc: a member's answer on its way to the client.
  void begin_compression(http::Head& head, bool end);
  // False: the answer has been cut.
  bool encode(std::span<const char> bytes, http::Encoder::Until until);
  void send_compressed(std::span<const char> bytes, bool end);
  void flush_compressed();
  void end_compression();

  ExchangeContext* context_;
  http::Stream* client_;
  http::Head* request_ = nullptr;
  base::Pinned<LocalGeneration> generation_;
  const Route* route_ = nullptr;
  Pool* pool_ = nullptr;
  std::uint32_t pool_id_ = 0;
  Attempt attempt_;
  AuthCall* auth_call_ = nullptr;  // lent by the context while the service is asked
  // The request's body: all of it from its beginning (keeps_body_), or what came before the attempt
  // was ready.
  base::ChunkQueue body_;
  const http::HeaderBlock* trailers_ = nullptr;
  net::Deadline total_deadline_;
  http::ClientInfo who_;
  std::size_t listener_;
  std::uint32_t listener_id_;
  std::string_view peer_text_;
  std::string_view client_ip_;
  std::string_view scheme_ = "http";  // that the client used
  std::string_view request_id_;
  std::string_view original_path_;
  std::string_view user_;                       // by name and password
  std::string_view path_rest_;                  // RouteMatch's, while these are looked at
  std::string_view cors_origin_;                // of the client's page, on a route with `cors`
  Affinity affinity_;                           // for the balancer
  base::CountTable::Entry* counted_ = nullptr;  // among the client's requests
  RateTable::Verdict rate_;                     // with a limiter of the route
  std::uint64_t body_bytes_max_ = 0;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
  http::Encoder* encoder_ = nullptr;  // lent by the context; null: the answer goes as it comes
  std::uint64_t plain_bytes_ = 0;     // that it has been given
  std::optional<http::ContentCoding> coding_;  // that the client would have, on a route with any
  std::uint64_t started_ns_ = 0;
  std::uint64_t first_byte_ns_ = 0;
  std::uint16_t status_ = 0;
  std::uint16_t upstream_status_ = 0;
  std::uint16_t dropped_status_ = 0;  // of the answer that was not passed on
  std::uint32_t sends_ = 0;           // tries that ended after the request had been sent
  std::uint64_t pause_ms_ = 0;        // that a member asked for, by Retry-After
  StickyResult sticky_ = StickyResult::none;
  base::EndReason end_reason_ = base::EndReason::ok;
  base::EndReason retry_reason_ = base::EndReason::ok;
  base::EndReason reported_reason_ = base::EndReason::ok;
  Phase phase_ = Phase::head;
  bool request_done_ : 1 = false;
  bool request_used_ : 1 = false;  // body bytes have gone and are not kept: it cannot be sent again
  bool keeps_body_ : 1 = false;
  bool costs_retry_ : 1 = false;   // the next try sends the request another time
  bool holds_retry_ : 1 = false;   // this try has a place in the pool's budget
  bool is_host_ours_ : 1 = false;  // the client gave no Host
  bool has_other_ : 1 = false;     // after a dropped answer: somebody else is there
  bool is_counted_ : 1 = false;    // in the pool's requests
  bool response_begun_ : 1 = false;
  bool interim_sent_ : 1 = false;
  bool client_paused_ : 1 = false;      // we stopped reading the client
  bool member_paused_ : 1 = false;      // we stopped reading the member
  bool client_half_ended_ : 1 = false;  // tunnel
  bool member_half_ended_ : 1 = false;  // tunnel
  bool is_websocket_ : 1 = false;
  bool is_upgraded_ : 1 = false;
  bool is_user_right_ : 1 = false;   // user_ is who it says
  bool is_grpc_answer_ : 1 = false;  // to a gRPC call
  bool is_peer_trusted_ : 1 = false;
  bool is_client_unknown_ : 1 = false;   // it is somebody behind client_ip_
  bool tells_rate_ : 1 = false;          // the answer tells rate_
  bool is_cookie_due_ : 1 = false;       // the one that names the client's member
  bool is_preflight_ : 1 = false;        // Portunus answers what pages may do
  bool is_asked_of_member_ : 1 = false;  // the member does, and nothing of its answer is changed
  bool allows_preflight_ : 1 = false;
  bool flushes_each_turn_ : 1 = false;  // encoder_: what has come must not wait for more
};

}  // namespace portunus::proxy
