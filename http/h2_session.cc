#include "http/h2_session.h"

#include <nghttp2/nghttp2.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "http/h2_shared.h"
#include "http/server_connection.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

// How long a connection that was accepted just before the drain may take to send its request.
constexpr std::uint64_t kFirstStreamInDrainMs = 1'000;
// How long new streams are let in after the notice that there will be a last one.
constexpr std::uint64_t kNoticeMs = 1'000;
// What a client may still send, and for how long, after our GOAWAY before we hang up on it.
constexpr std::uint64_t kGoawayLingerBytes = std::uint64_t{256} * 1024;
constexpr std::uint64_t kGoawayLingerMs = 1'000;

constexpr Error kBadClient{EndReason::rejected_framing, Side::client, Retry::no,
                           "the connection broke the rules of HTTP/2"};

}  // namespace

H2Session::H2Session(ServerContext& context, ServerConnection& connection)
    : context_(&context),
      connection_(&connection),
      tcp_(&connection.stream()),
      deadline_(this, [](void* self) { static_cast<H2Session*>(self)->on_deadline(); }) {
  H2Shared& shared = *context.h2;
  nghttp2_mem memory{&shared.memory, &H2Memory::take, &H2Memory::give_back, &H2Memory::take_zeroed,
                     &H2Memory::resize};
  const int result =
      nghttp2_session_server_new3(&native_, shared.callbacks, this, shared.options, &memory);
  CHECK(result == 0);  // it fails for lack of memory only
  ++context.h2_counts.connections;
}

H2Session::~H2Session() {
  nghttp2_session_del(native_);
}

const ClientInfo& H2Session::client() const {
  return connection_->client();
}

void H2Session::start(std::span<const char> first) {
  tcp_->set_owner(*this);
  submit_settings();
  arm(context_->headers_ms);
  tcp_->set_reading(true);
  flush_soon();
  if (!first.empty()) on_bytes(first);
}

void H2Session::submit_settings() {
  const H2Limits& limits = context_->h2->limits;
  const std::array<nghttp2_settings_entry, 5> settings{{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.concurrent_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, context_->limits.header_bytes},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},  // RFC 8441
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},    // RFC 9218
  }};
  nghttp2_submit_settings(native_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(native_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<std::int32_t>(limits.connection_window));
}

// ---- what comes in ----

void H2Session::on_bytes(std::span<const char> bytes) {
  if (phase_ == Phase::closing) return;
  if (phase_ == Phase::lingering) {
    progress_ += bytes.size();
    if (progress_ > kGoawayLingerBytes) close();
    return;
  }
  if (is_stopped_) return;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const ssize_t taken = nghttp2_session_mem_recv(native_, data, bytes.size());
  if (taken < 0) on_receive_failed(taken);
  settle();
  flush_soon();
}

void H2Session::on_receive_failed(long code) {
  if (is_stopped_) return;  // by us
  switch (code) {
    case NGHTTP2_ERR_FLOODED:
      stop(H2Abuse::output);
      return;
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
      stop(H2Abuse::continuations);
      return;
    case NGHTTP2_ERR_TOO_MANY_SETTINGS:
      stop(H2Abuse::settings);
      return;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
      is_stopped_ = true;
      say_goodbye(NGHTTP2_PROTOCOL_ERROR);
      return;
    default:
      is_stopped_ = true;
      say_goodbye(NGHTTP2_INTERNAL_ERROR);
  }
}

// A budget is used up: nothing more is heard, what has been sent stays the client's.
void H2Session::stop(H2Abuse kind) {
  if (is_stopped_) return;
  is_stopped_ = true;
  ++context_->h2_counts.floods_stopped[static_cast<std::size_t>(kind)];
  say_goodbye(NGHTTP2_ENHANCE_YOUR_CALM);
}

int H2Session::spend(H2Abuse kind) {
  if (budget_.spend(context_->h2->limits, kind, context_->loop.now_ms())) return 0;
  stop(kind);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void H2Session::on_end(Error /*why*/) {
  if (phase_ == Phase::closing) return;
  // Without its acknowledgements no answer can go on: unlike HTTP/1, half a connection is none.
  end_streams(kClientClosed);
  close();
}

// ---- what goes out ----

void H2Session::flush() {
  if (phase_ == Phase::closing || phase_ == Phase::lingering) return;
  if (!output_.make(native_, *tcp_)) {
    end_streams({EndReason::internal, Side::internal, Retry::no, "HTTP/2 has failed"});
    close();
    return;
  }
  if (phase_ == Phase::closing) return;
  settle();
  const bool is_blocked = tcp_->unsent() > net::Stream::kLowMark;
  if (is_blocked && !deadline_.is_armed()) {
    progress_ = tcp_->bytes_sent();
    arm(context_->write_ms);
  }
  if (nghttp2_session_get_outbound_queue_size(native_) >
      std::size_t{4} * context_->h2->limits.concurrent_streams + 1000) {
    stop(H2Abuse::output);
  }
  const bool is_over =
      nghttp2_session_want_read(native_) == 0 && nghttp2_session_want_write(native_) == 0;
  // One that does not read is not waited for until it takes the GOAWAY.
  if (is_over || (is_stopped_ && is_blocked)) linger();
}

void H2Session::on_drained() {
  if (phase_ != Phase::lingering) flush_soon();
}

void H2Session::settle() {
  while (H2Stream* stream = closed_.pop_front())
    stream->close(stream->is_reset_received() ? kClientClosed : Error{});
  if (has_drained_) {
    has_drained_ = false;
    for (H2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.next(*stream))
      stream->tell_drained();
  }
  if (open_ > 0 || requests_ == 0 || phase_ > Phase::leaving_soon || is_stopped_) return;
  if (phase_ == Phase::leaving_soon || context_->is_draining || context_->is_crowded) {
    say_goodbye(NGHTTP2_NO_ERROR);
  } else if (!is_waiting_) {
    is_waiting_ = true;
    arm(context_->keep_alive_ms);
  }
}

// ---- the end ----

void H2Session::drain() {
  if (phase_ != Phase::open) return;
  if (open_ == 0) {
    if (requests_ == 0) {
      arm(kFirstStreamInDrainMs);
    } else {
      say_goodbye(NGHTTP2_NO_ERROR);
    }
    return;
  }
  // RFC 9113 section 6.8: first the notice, then, when it has arrived, which stream was the last.
  phase_ = Phase::leaving_soon;
  nghttp2_submit_shutdown_notice(native_);
  nghttp2_submit_ping(native_, NGHTTP2_FLAG_NONE, nullptr);
  arm(kNoticeMs);
  flush_soon();
}

void H2Session::say_last_stream() {
  if (phase_ != Phase::leaving_soon) return;
  phase_ = Phase::leaving;
  nghttp2_submit_goaway(native_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(native_), NGHTTP2_NO_ERROR, nullptr,
                        0);
  flush_soon();
}

// Nothing more is heard after this, and nothing but what is on its way is said.
void H2Session::say_goodbye(std::uint32_t code) {
  if (phase_ > Phase::leaving || is_farewell_said_) return;
  is_farewell_said_ = true;
  phase_ = Phase::leaving;
  nghttp2_session_terminate_session(native_, code);
  flush_soon();
}

void H2Session::shut_down(Error why) {
  if (phase_ == Phase::closing) return;
  if (phase_ == Phase::lingering || open_ == 0) {
    say_goodbye(NGHTTP2_NO_ERROR);
    flush();
    close();
    return;
  }
  for (H2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.next(*stream))
    stream->shut_down(why);
  flush();
  say_goodbye(NGHTTP2_NO_ERROR);
  flush();
  if (phase_ != Phase::closing && phase_ != Phase::lingering) linger();
}

void H2Session::end_streams(Error why) {
  while (H2Stream* stream = streams_.pop_front())
    stream->close(why);
  while (H2Stream* stream = closed_.pop_front())
    stream->close(why);
  open_ = 0;
}

// Our GOAWAY is out; what the client still sends is read and dropped for a while, because closing with
// unread bytes would reset the connection and could destroy the GOAWAY on its way.
void H2Session::linger() {
  if (phase_ >= Phase::lingering) return;
  phase_ = Phase::lingering;
  end_streams(is_stopped_ ? kBadClient : kClientClosed);
  progress_ = 0;
  lingering_from_ = ~std::uint64_t{0};  // nobody has looked yet
  tcp_->end_writing();
  tcp_->set_reading(true);
  arm(kGoawayLingerMs);
}

void H2Session::close() {
  if (phase_ == Phase::closing) return;
  phase_ = Phase::closing;
  deadline_.disarm();
  end_streams(kClientClosed);
  tcp_->close();
}

void H2Session::on_closed() {
  CHECK(live_ == 0);                 // they were buried in the turn of close()
  connection_->on_session_closed();  // ends this object
}

void H2Session::on_deadline() {
  switch (phase_) {
    case Phase::closing:
      return;
    case Phase::lingering:
      if (tcp_->unsent() > 0 && tcp_->bytes_sent() != lingering_from_) {
        lingering_from_ = tcp_->bytes_sent();
        arm(context_->write_ms);
        return;
      }
      close();
      return;
    case Phase::leaving_soon:
      say_last_stream();
      return;
    case Phase::open:
    case Phase::leaving:
      break;
  }
  if (open_ == 0 && tcp_->unsent() == 0) {
    say_goodbye(NGHTTP2_NO_ERROR);
    return;
  }
  if (tcp_->unsent() == 0) return;
  if (progress_ != tcp_->bytes_sent()) {
    progress_ = tcp_->bytes_sent();
    arm(context_->write_ms);
    return;
  }
  end_streams(kClientTimeout);
  tcp_->abort();
  close();
}

}  // namespace portunus::http
