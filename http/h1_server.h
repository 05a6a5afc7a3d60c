// The client-facing HTTP/1 connection (RFC 9112): keep-alive, pipelining answered in order, interim
// responses, upgrade tunnels, early answers, time-outs. One exchange at a time. It is the Stream of
// that exchange; while idle it holds no message, no exchange and no buffer. Taken from the thread's
// slab by its owner and given back in on_server_gone(). One thread.
//
//   idle --first byte--> receiving --head complete--> exchange --response and request ended--> idle
//   exchange --101 sent--> tunnel --both directions ended--> closed
//   exchange --response ended, connection not reusable--> lingering | closed
//   any --refused--> lingering (reads and drops, so that the answer is not lost by a reset)
#pragma once

#include <cstdint>

#include "base/slab.h"
#include "http/h1_writer.h"
#include "http/inbound.h"
#include "http/stream.h"
#include "net/listener.h"
#include "net/stream.h"

namespace portunus::http {

class H1Server;

class H1ServerOwner {
 public:
  // The socket is closed; the owner ends the object.
  virtual void on_server_gone(H1Server& server) = 0;

 protected:
  ~H1ServerOwner() = default;
};

// What the connections of one listener share on one thread. Settings may change while connections
// live (reload); they take effect at the next use. Outlives its connections.
struct H1ServerContext {
  net::Loop& loop;
  base::Slab<Inbound>& inbounds;
  StreamAcceptor& acceptor;
  H1ServerOwner& owner;
  MessageLimits limits;
  std::uint64_t requests_max = 10000;  // per connection
  std::uint64_t headers_ms = 10'000;   // for a whole head, from its first byte or from accepting
  std::uint64_t body_ms = 30'000;      // between two reads of a body
  std::uint64_t write_ms = 30'000;     // without any progress of a blocked write
  std::uint64_t keep_alive_ms = 60'000;
  bool is_draining = false;  // every answer says `connection: close`
};

class H1Server final : public Stream,
                       public base::ListHook<H1Server>,
                       private net::StreamOwner,
                       private net::Deferred,
                       private H1ParserSink {
 public:
  explicit H1Server(H1ServerContext& context);

  // Takes the connection that waits at `listener`, or the socket that was taken from there before
  // (`descriptor`). False: nothing was there, on_server_gone() follows.
  [[nodiscard]] bool accept(net::Listener& listener, int descriptor = -1);
  // Drain: closes when no exchange is running (one that has not sent its first byte yet gets a
  // second); else the running answer says close.
  void drain();
  // Closes at once; a running exchange is told `why`, and its client too if its answer has not begun.
  void shut_down(base::Error why);
  [[nodiscard]] const net::Address& peer() const { return peer_; }
  [[nodiscard]] std::size_t listener() const { return listener_; }
  [[nodiscard]] bool is_idle() const { return phase_ == Phase::idle && tcp_.unsent() == 0; }
  // Between two requests: it has been served before and may be closed to make room.
  [[nodiscard]] bool is_kept_alive() const { return is_idle() && requests_ > 0; }

  // Stream
  void send_head(const Head& head, bool end) override;
  void send_body(std::span<const char> bytes, bool end) override;
  void send_trailers(const HeaderBlock& trailers) override;
  void set_reading(bool on) override;
  void set_handler(StreamHandler* handler) override { handler_ = handler; }
  void reset(base::Error why) override;

 private:
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
  void next_message();
  void stash(std::span<const char> bytes);
  void linger();
  void release_inbound();
  void tell_tunnel_end();
  void update_reading();
  void arm(std::uint64_t after_ms) { context_->loop.timers().arm(deadline_, after_ms); }
  void watch_writing();
  void on_deadline();
  void sync_unsent() { unsent_ = tcp_.unsent(); }

  H1ServerContext* context_;
  StreamHandler* handler_ = nullptr;
  Inbound* inbound_ = nullptr;
  std::uint64_t response_left_ =
      0;  // with Framing::length; lingering: bytes_sent() at the last look
  std::uint64_t progress_ =
      0;  // bytes read and sent when the deadline was armed; lingering: dropped
  std::uint64_t received_ = 0;
  net::Deadline deadline_;
  net::Address peer_;
  std::uint32_t requests_ = 0;
  std::uint16_t listener_ = 0;
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
  bool hangs_up_ : 1 = false;  // closes right after the answer, without lingering
  net::Stream tcp_;
};

}  // namespace portunus::http
