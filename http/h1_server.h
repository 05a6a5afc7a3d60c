// The client-facing HTTP/1 connection (RFC 9112): keep-alive, pipelining answered in order, interim
// responses, upgrade tunnels, early answers, time-outs. One exchange at a time. It is the Stream of
// that exchange; while idle it holds no message, no exchange and no buffer. Part of its
// ServerConnection. One thread.
//
//   idle --first byte--> receiving --head complete--> exchange --response and request ended--> idle
//   exchange --101 sent--> tunnel --both directions ended--> closed
//   exchange --response ended, connection not reusable--> lingering | closed
//   any --refused--> lingering (reads and drops, so that the answer is not lost by a reset)
#pragma once

#include <cstdint>

#include "http/h1_writer.h"
#include "http/server_context.h"
#include "http/server_session.h"
#include "http/stream.h"
#include "net/stream.h"

namespace portunus::http {

class H1Server final : public Stream,
                       public ServerSession,
                       private net::StreamOwner,
                       private net::Deferred,
                       private H1ParserSink {
 public:
  H1Server(ServerContext& context, ServerConnection& connection);

  // ServerSession. drain(): one that has not sent its first byte yet gets a second.
  void start(std::span<const char> first) override;
  void drain() override;
  void shut_down(base::Error why) override;
  // Another protocol goes on, and this one has heard nothing yet.
  void retire() { deadline_.disarm(); }
  [[nodiscard]] bool is_idle() const override {
    return phase_ == Phase::idle && tcp_->unsent() == 0;
  }
  [[nodiscard]] bool is_kept_alive() const override { return is_idle() && requests_ > 0; }

  // Stream
  void send_head(const Head& head, bool end) override;
  void send_body(std::span<const char> bytes, bool end) override;
  void send_trailers(const HeaderBlock& trailers) override;
  void set_reading(bool on) override;
  void set_handler(StreamHandler* handler) override { handler_ = handler; }
  void reset(base::Error why) override;

 private:
  // In a drain, a client that has just been answered may have its next request on the way, and a
  // thread that is late may not have read one that came long ago: closing now would lose it.
  static constexpr std::uint64_t kRecentMs = 500;

  enum class Phase : std::uint8_t { idle, receiving, exchange, tunnel, lingering, closing };
  enum class Framing : std::uint8_t { none, length, chunked, until_close };

  // net::StreamOwner
  void on_bytes(std::span<const char> bytes) override;
  void on_end(base::Error why) override;
  void on_drained() override;
  void on_closed() override;
  // net::Deferred: the exchange is over.
  void on_turn_end() override;
  // H1ParserSink
  void on_message_head() override;
  void on_message_body(std::span<const char> bytes) override;

  void close();
  void close_when_sent();
  void begin_message();
  void feed(std::span<const char> bytes);
  void on_request_complete();
  void on_request_failed(base::Error why);
  void refuse(base::Error why);
  void send_interim(const Head& head);
  void send_upgrade(const Head& head);
  [[nodiscard]] bool may_drop_rest(const Head& answer) const;
  [[nodiscard]] Framing choose_framing(const Head& head, bool end);
  void write_head(const Head& head, const WireHead& wire);
  void finish_response();
  void cut_response();
  void next_message();
  void stash(std::span<const char> bytes);
  void linger();
  void release_inbound();
  void tell_tunnel_end();
  void update_reading();
  void arm(std::uint64_t after_ms) { context_->loop.timers().arm(deadline_, after_ms); }
  void watch_writing();
  [[nodiscard]] bool is_rate_asked_for() const;
  void on_deadline();
  void sync_unsent() { unsent_ = tcp_->unsent(); }

  ServerContext* context_;
  ServerConnection* connection_;
  net::Stream* tcp_;  // the connection's
  StreamHandler* handler_ = nullptr;
  Inbound* inbound_ = nullptr;
  std::uint64_t response_left_ =
      0;  // with Framing::length; lingering: bytes_sent() at the last look
  std::uint64_t progress_ =
      0;  // bytes read and sent when the deadline was armed; lingering: dropped
  std::uint64_t received_ = 0;
  net::Deadline deadline_;
  std::uint32_t requests_ = 0;
  Phase phase_ = Phase::idle;
  Framing framing_ = Framing::none;
  bool request_done_ : 1 = false;
  bool response_begun_ : 1 = false;
  bool response_done_ : 1 = false;
  bool keep_alive_ : 1 = true;
  bool is_head_request_ : 1 = false;
  bool is_http10_ : 1 = false;
  bool paused_by_handler_ : 1 = false;
  bool paused_by_stash_ : 1 = false;
  bool peer_ended_ : 1 = false;
  bool we_ended_ : 1 = false;  // tunnel: our direction has ended
  // The body was coming when the deadline was armed, and nobody but the client holds it up.
  bool is_rated_ : 1 = false;
  bool hangs_up_ : 1 = false;  // closes right after the answer, without lingering
};

}  // namespace portunus::http
