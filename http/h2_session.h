// The client-facing HTTP/2 connection (RFC 9113): one nghttp2 session over the connection's byte
// stream. Splits what comes in into streams, makes one output of all that they have to say at the end
// of the poll, keeps the client within its limits (h2_limits.h), and says GOAWAY in time. From the
// thread's slab, made by ServerConnection. nghttp2 takes its memory (a few blocks per stream) from
// malloc; nothing else here is allocated per request. One thread.
//
//   open --drain, age--> leaving_soon --answered, or a second--> leaving --no stream left--> lingering
//   open --idle for too long, flood, broken rules--> leaving          any --socket closed--> closing
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/intrusive_list.h"
#include "http/h2_limits.h"
#include "http/h2_output.h"
#include "http/h2_stream.h"
#include "http/server_context.h"
#include "http/server_session.h"
#include "net/stream.h"

struct nghttp2_session;

namespace portunus::http {

class H2Session final : public ServerSession, private net::StreamOwner, private net::Flushable {
 public:
  H2Session(ServerContext& context, ServerConnection& connection);
  ~H2Session();
  H2Session(const H2Session&) = delete;
  H2Session& operator=(const H2Session&) = delete;

  // ServerSession. start(): `first` begins with the client's preface, or is empty.
  void start(std::span<const char> first) override;
  void drain() override;
  void shut_down(base::Error why) override;
  // More bytes of the beginning.
  void take(std::span<const char> bytes) { on_bytes(bytes); }
  [[nodiscard]] bool is_idle() const override { return live_ == 0 && tcp_->unsent() == 0; }
  [[nodiscard]] bool is_kept_alive() const override { return is_idle() && requests_ > 0; }

  // For its streams.
  [[nodiscard]] nghttp2_session* native() const { return native_; }
  [[nodiscard]] ServerContext& context() const { return *context_; }
  [[nodiscard]] const ClientInfo& client() const;
  [[nodiscard]] std::uint64_t bytes_sent() const { return tcp_->bytes_sent(); }
  void flush_soon() { context_->loop.flush_later(*this); }
  void on_stream_buried() { --live_; }

 private:
  friend struct H2Callbacks;  // what nghttp2 calls
  friend struct H2CommonCallbacks<H2Session, H2Stream>;

  enum class Phase : std::uint8_t { open, leaving_soon, leaving, lingering, closing };

  // net::StreamOwner
  void on_bytes(std::span<const char> bytes) override;
  void on_end(base::Error why) override;
  void on_drained() override;
  void on_closed() override;
  // net::Flushable
  void flush() override;

  // Of frames: h2_callbacks.cc. Each returns what nghttp2 wants to hear.
  int on_frame_begin(std::uint8_t type, std::uint8_t flags, std::size_t length);
  int on_request_begin(std::int32_t id);
  int spend(H2Abuse kind);

  void submit_settings();
  void on_receive_failed(long code);
  void stop(H2Abuse kind);
  void say_goodbye(std::uint32_t code);
  void say_last_stream();
  // What HTTP/2 has closed in the meantime, and whose queue has drained.
  void settle();
  void end_streams(base::Error why);
  void linger();
  void close();
  void on_deadline();
  void arm(std::uint64_t after_ms) { context_->loop.timers().arm(deadline_, after_ms); }

  ServerContext* context_;
  ServerConnection* connection_;
  net::Stream* tcp_;  // the connection's
  nghttp2_session* native_ = nullptr;
  base::IntrusiveList<H2Stream, H2Stream> streams_;  // open
  base::IntrusiveList<H2Stream, H2Stream> closed_;   // to be told so by settle()
  H2Output output_;
  std::uint64_t progress_ = 0;        // bytes sent when the deadline was armed; lingering: dropped
  std::uint64_t lingering_from_ = 0;  // bytes sent at the last look
  net::Deadline deadline_;
  H2Budget budget_;
  std::uint32_t requests_ = 0;
  std::uint32_t open_ = 0;  // streams
  std::uint32_t live_ = 0;  // those included that wait to be buried
  Phase phase_ = Phase::open;
  bool is_stopped_ : 1 = false;   // nothing that comes is looked at any more
  bool has_drained_ : 1 = false;  // a stream's queue
  bool is_waiting_ : 1 = false;   // for the next request: the deadline is for that
  bool is_farewell_said_ : 1 = false;
};

}  // namespace portunus::http
