// The upstream-facing HTTP/2 connection (RFC 9113): connects, carries many exchanges at a time, each
// as an H2ClientStream, respects how many the member takes at once, and looks by PING whether the
// member is still there when it is silent. Connection-level failures end all of its streams, each
// with its own word on whether the request may be sent again; a stream's failure ends that stream.
// From the thread's slab; nghttp2 takes its memory from the thread's H2Memory. One thread.
//
//   connecting --> open --GOAWAY, leave()--> leaving --last stream given back--> closing
//   any --failure, close()--> closing
#pragma once

#include <cstdint>
#include <span>

#include "base/intrusive_list.h"
#include "http/client_stream.h"
#include "http/h2_limits.h"
#include "http/h2_output.h"
#include "net/stream.h"

struct nghttp2_session;

namespace portunus::net {
class TlsClient;
class TlsResumption;
struct TlsTarget;
}  // namespace portunus::net

namespace portunus::http {

class H2Client;
class H2ClientStream;

class H2ClientOwner {
 public:
  // Of connect(). Those who wait are to be taken by pop_waiting() and told; after a failure the
  // connection is to be closed.
  virtual void on_client_connected(H2Client& client, base::Error failure) = 0;
  // The socket is closed; the owner ends the object. No stream of it is left.
  virtual void on_client_gone(H2Client& client) = 0;

 protected:
  ~H2ClientOwner() = default;
};

class H2Client final : public base::ListHook<H2Client>,
                       private net::StreamOwner,
                       private net::Flushable {
 public:
  // Streams at once on one connection, whatever the member allows: beyond that another connection is
  // the better way.
  static constexpr std::uint32_t kStreamsMax = 256;
  // Before the member has ever said how many it takes.
  static constexpr std::uint32_t kStreamsExpected = 100;

  // `streams_expected`: as many may wait for it to stand (allowed()).
  H2Client(ClientContext& context,
           H2ClientOwner& owner,
           std::uint32_t streams_expected = kStreamsExpected);
  ~H2Client();
  H2Client(const H2Client&) = delete;
  H2Client& operator=(const H2Client&) = delete;

  // on_client_connected() follows. `timeout_ms` from now.
  void connect(const net::Address& address, std::uint64_t timeout_ms);
  // The same with TLS, whose ALPN must agree on "h2". `resumption` may be null, and else outlives the
  // connection.
  void connect_tls(const net::Address& address,
                   const net::TlsTarget& tls,
                   net::TlsResumption* resumption,
                   DialTimes times);
  // When TLS began: the member's host had accepted the connection. Loop nanoseconds; 0 = it has not.
  [[nodiscard]] std::uint64_t reached_ns() const { return reached_ns_; }
  // Whether it speaks TLS as that one wants it; null: in the clear.
  [[nodiscard]] bool was_made_by(const net::TlsClient* tls) const;
  [[nodiscard]] bool is_connecting() const { return phase_ == Phase::connecting; }

  // Whether one more stream may be lent. While it is connecting: one that waits for it.
  [[nodiscard]] bool has_room() const;
  // Streams that the member takes at once, as far as it has said so.
  [[nodiscard]] std::uint32_t allowed() const;
  [[nodiscard]] H2ClientStream& lend();
  // Whether, while nobody uses it, the member has closed or sent something that we have not read yet.
  // Costs a system call: only for requests that could not be repeated.
  [[nodiscard]] bool looks_stale() const;
  // Of those that were lent before it stood; null when there are no more.
  [[nodiscard]] H2ClientStream* pop_waiting();
  // How many are lent.
  [[nodiscard]] std::uint32_t lent() const { return lent_; }
  // It stands, and nobody uses it.
  [[nodiscard]] bool is_idle() const { return phase_ == Phase::open && lent_ == 0; }
  // Nobody uses it: closes itself after so long.
  void idle(std::uint64_t idle_ms);
  // Takes no more streams, and closes as soon as the last has been given back: those that wait for
  // it included.
  void leave();
  // Closes at once; nothing is lent. on_client_gone() follows in a later turn.
  void close();

  // For its streams.
  [[nodiscard]] nghttp2_session* native() const { return native_; }
  [[nodiscard]] std::string_view scheme() const;
  void flush_soon() { context_->loop.flush_later(*this); }
  void on_stream_released(H2ClientStream& stream, bool is_over);
  // One that HTTP/2 has closed, and whose owner is not done with it yet.
  void on_stream_detached();

 private:
  friend struct H2ClientCallbacks;  // what nghttp2 calls
  friend struct H2CommonCallbacks<H2Client, H2ClientStream>;

  enum class Phase : std::uint8_t { connecting, open, leaving, closing };

  // net::StreamOwner
  void on_bytes(std::span<const char> bytes) override;
  void on_end(base::Error why) override;
  void on_drained() override;
  void on_closed() override;
  void on_connected(base::Error failure) override;
  void on_reached() override;
  // net::Flushable
  void flush() override;

  int on_frame_begin(std::uint8_t type, std::uint8_t flags, std::size_t length);
  int spend(H2Abuse kind);
  void submit_settings();
  void settle();
  void say_goodbye();
  void end();
  void end_streams(base::Error why);
  void fail(base::Error why);
  void on_deadline();
  void look_after_member();
  void watch(std::uint64_t for_ms);
  void arm(std::uint64_t after_ms) { context_->loop.timers().arm(deadline_, after_ms); }

  ClientContext* context_;
  H2ClientOwner* owner_;
  nghttp2_session* native_ = nullptr;
  base::IntrusiveList<H2ClientStream, H2ClientStream> waiting_;  // for the connection
  base::IntrusiveList<H2ClientStream, H2ClientStream> streams_;
  base::IntrusiveList<H2ClientStream, H2ClientStream> closed_;  // to be told so by settle()
  H2Output output_;
  H2Budget budget_;
  net::Deadline deadline_;
  std::uint64_t reached_ns_ = 0;
  std::uint64_t tls_timeout_ms_ = 0;
  std::uint64_t pinged_ns_ = 0;  // 0 = never
  std::uint64_t sent_ = 0;       // bytes, when the deadline was armed
  std::uint32_t streams_expected_;
  std::uint32_t lent_ = 0;
  std::uint32_t open_ = 0;  // lent ones, and those that HTTP/2 has not closed yet
  Phase phase_ = Phase::connecting;
  bool was_blocked_ : 1 = false;     // when the deadline was armed
  bool has_settings_ : 1 = false;    // the member's
  bool has_heard_ : 1 = false;       // anything, since the deadline was armed
  bool has_progress_ : 1 = false;    // heads or bodies, since the last PING
  bool is_pinging_ : 1 = false;      // no acknowledgement yet
  bool has_drained_ : 1 = false;     // a stream's queue
  bool is_rule_broken_ : 1 = false;  // by the member, as nghttp2 has told it
  bool is_starved_ : 1 = false;      // of memory, before it began
  bool is_unwanted_ : 1 = false;     // to leave as soon as it stands
  net::Stream tcp_;
};

}  // namespace portunus::http
