// The upstream-facing HTTP/1 connection (RFC 9112): connects, carries one exchange at a time,
// judges the answer, and knows afterwards whether it may carry another. It is the Stream of the
// current request: commands send the request, events bring the response. Taken from a slab by its
// owner (a pool, or a fetch), idle without message and buffer. One thread.
#pragma once

#include <cstdint>

#include "http/client_stream.h"
#include "http/h1_writer.h"
#include "net/stream.h"

namespace portunus::net {
class TlsClient;
class TlsResumption;
struct TlsTarget;
}  // namespace portunus::net

namespace portunus::http {

class H1Client;

class H1ClientOwner {
 public:
  virtual void on_client_connected(H1Client& client, base::Error failure) = 0;
  // Idle and no longer usable: the member closed it, sent something, or it was idle for too long.
  virtual void on_client_stale(H1Client& client) = 0;
  // The socket is closed; the owner ends the object.
  virtual void on_client_gone(H1Client& client) = 0;

 protected:
  ~H1ClientOwner() = default;
};

class H1Client final : public ClientStream,
                       public base::ListHook<H1Client>,
                       private net::StreamOwner,
                       private net::Deferred,
                       private H1ParserSink {
 public:
  H1Client(ClientContext& context, H1ClientOwner& owner);

  // on_client_connected() follows. `timeout_ms` from now.
  void connect(const net::Address& address, std::uint64_t timeout_ms);
  // The same with TLS. `resumption` may be null, and else outlives the connection.
  void connect_tls(const net::Address& address,
                   const net::TlsTarget& tls,
                   net::TlsResumption* resumption,
                   DialTimes times);
  // Whether it speaks TLS as that one wants it; null: in the clear.
  [[nodiscard]] bool was_made_by(const net::TlsClient* tls) const;
  // Before connect(): what goes ahead of everything, such as a PROXY header.
  void put_first(std::span<const char> bytes) { tcp_.put_first(bytes); }
  // The exchange is over for its handler, whatever its state; events stop. True when the connection
  // may carry another one: then it is idle, watches for staleness and closes itself after `idle_ms`
  // (on_client_stale). False: it must be closed.
  [[nodiscard]] bool end_exchange(std::uint64_t idle_ms);
  // The next head says `connection: close`: this exchange is to be the last.
  void announce_close() { reusable_ = false; }
  // Closes at once; on_client_gone() follows in a later turn.
  void close();
  // After end_exchange(): closes as soon as the last bytes of a tunnel have left. True when it waits
  // for a member that reads slowly.
  [[nodiscard]] bool close_when_sent();
  // Whether the member has closed or sent something while idle that we have not read yet. Costs a
  // system call: only for requests that could not be repeated.
  [[nodiscard]] bool looks_stale() const;
  [[nodiscard]] bool was_used() const { return exchanges_ > 1; }

  // ClientStream
  void begin(StreamHandler& handler) override;
  [[nodiscard]] std::uint64_t reached_ns() const override { return reached_ns_; }
  [[nodiscard]] bool may_have_been_stale() const override { return !response_begun_; }
  // Stream
  void send_head(const Head& head, bool end) override;
  void send_body(std::span<const char> bytes, bool end) override;
  void send_trailers(const HeaderBlock& trailers) override;
  void set_reading(bool on) override;
  void set_handler(StreamHandler* handler) override { handler_ = handler; }
  void reset(base::Error why) override;

 private:
  enum class Phase : std::uint8_t { connecting, idle, exchange, tunnel, leaving, closing };

  // net::StreamOwner
  void on_bytes(std::span<const char> bytes) override;
  void on_end(base::Error why) override;
  void on_drained() override;
  void on_closed() override;
  void on_connected(base::Error failure) override;
  void on_reached() override;
  // net::Deferred: the failure of a command, told in its own time.
  void on_turn_end() override;
  // H1ParserSink
  void on_message_head() override;
  void on_message_body(std::span<const char> bytes) override;

  void read_response(std::span<const char> bytes);
  void begin_response();
  void finish_response();
  void fail(base::Error why);
  void on_deadline();
  void on_connect_deadline();
  void sync_unsent() { unsent_ = tcp_.unsent(); }

  ClientContext* context_;
  H1ClientOwner* owner_;
  StreamHandler* handler_ = nullptr;
  Inbound* inbound_ = nullptr;
  net::Deadline deadline_;
  base::Error failure_;             // waits for the end of the turn
  std::uint64_t request_left_ = 0;  // of a body with a length; leaving: bytes sent at the last look
  std::uint64_t reached_ns_ = 0;
  std::uint64_t tls_timeout_ms_ = 0;
  std::uint32_t exchanges_ = 0;
  std::uint16_t interim_heads_ = 0;
  std::uint16_t keep_alive_s_ =
      0;  // what the member announced (`keep-alive: timeout=`), 0 = nothing
  Phase phase_ = Phase::connecting;
  Method method_ = Method::get;
  bool upgrade_asked_ : 1 = false;
  bool request_chunked_ : 1 = false;
  bool request_begun_ : 1 = false;
  bool request_done_ : 1 = false;
  bool response_begun_ : 1 = false;  // a byte of the answer came
  bool response_done_ : 1 = false;
  bool reusable_ : 1 = true;
  bool peer_ended_ : 1 = false;
  bool we_ended_ : 1 = false;
  net::Stream tcp_;
};

}  // namespace portunus::http
