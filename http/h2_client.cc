#include "http/h2_client.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "http/h2_client_stream.h"
#include "http/h2_frames.h"
#include "http/h2_shared.h"
#include "net/tls_client.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

// What one answer may hold that its client does not read yet, and all of a connection together: that
// one is never the narrow place (H2ClientStream::on_data).
constexpr std::uint32_t kStreamWindow = 128 * 1024;
constexpr std::int32_t kConnectionWindow = 64 * 1024 * 1024;
// Members of gRPC take more than two PINGs in five minutes without an answer of theirs for abuse.
constexpr std::uint64_t kPingAgainNs = std::uint64_t{310} * 1'000'000'000;
// Frames that wait to be sent: two for each stream, and the answers to what the member says.
constexpr std::size_t kOutboundMax = std::size_t{2} * H2Client::kStreamsMax + 1000;
// How long a member may take none of our last bytes.
constexpr std::uint64_t kFarewellMs = 10'000;

constexpr Error kRulesBroken{EndReason::upstream_protocol, Side::upstream, Retry::no,
                             "the member broke the rules of HTTP/2"};
constexpr Error kStarved{EndReason::upstream_tls, Side::internal, Retry::unsent,
                         "out of memory for TLS"};
constexpr Error kLost{EndReason::upstream_reset, Side::upstream, Retry::idempotent,
                      "the member closed the connection"};

}  // namespace

H2Client::H2Client(ClientContext& context, H2ClientOwner& owner, std::uint32_t streams_expected)
    : context_(&context),
      owner_(&owner),
      deadline_(this, [](void* self) { static_cast<H2Client*>(self)->on_deadline(); }),
      streams_expected_(streams_expected),
      tcp_(context.loop, *this) {
  H2Shared& shared = *context.h2;
  nghttp2_mem memory{&shared.memory, &H2Memory::take, &H2Memory::give_back, &H2Memory::take_zeroed,
                     &H2Memory::resize};
  const int result =
      nghttp2_session_client_new3(&native_, shared.client_callbacks, this, shared.options, &memory);
  CHECK(result == 0);  // it fails for lack of memory only
}

H2Client::~H2Client() {
  nghttp2_session_del(native_);
}

// ---- how it comes to stand ----

void H2Client::connect(const net::Address& address, std::uint64_t timeout_ms) {
  arm(timeout_ms);
  tcp_.connect(address);
}

void H2Client::connect_tls(const net::Address& address,
                           const net::TlsTarget& tls,
                           net::TlsResumption* resumption,
                           DialTimes times) {
  tls_timeout_ms_ = times.tls_ms;
  if (!tls.client->start(tcp_, tls.host, resumption)) {
    is_starved_ = true;
    arm(0);  // a command tells nothing by itself
    return;
  }
  connect(address, times.connect_ms);
}

void H2Client::on_reached() {
  if (phase_ != Phase::connecting) return;
  reached_ns_ = context_->loop.now_ns();
  arm(tls_timeout_ms_);
}

void H2Client::on_connected(Error failure) {
  if (phase_ != Phase::connecting) return;
  deadline_.disarm();
  if (!failure.is_error() && tcp_.tls() != nullptr && tcp_.tls()->protocol() != "h2") {
    failure = {EndReason::upstream_tls, Side::upstream, Retry::unsent,
               "the member does not agree to HTTP/2 (ALPN)"};
  }
  if (failure.is_error()) {
    phase_ = Phase::leaving;  // who is told now must not be lent it again
    owner_->on_client_connected(*this, failure);
    return;
  }
  phase_ = Phase::open;
  submit_settings();
  watch(context_->silent_ms);
  tcp_.set_reading(true);
  flush_soon();
  owner_->on_client_connected(*this, failure);
  if (is_unwanted_) leave();
}

bool H2Client::was_made_by(const net::TlsClient* tls) const {
  const net::TlsSession* const session = tcp_.tls();
  if (session == nullptr) return tls == nullptr;
  return tls != nullptr && session->context() == tls->context();
}

std::string_view H2Client::scheme() const {
  return tcp_.tls() == nullptr ? "http" : "https";
}

void H2Client::submit_settings() {
  const std::array<nghttp2_settings_entry, 3> settings{{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, context_->limits.header_bytes},
  }};
  nghttp2_submit_settings(native_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(native_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

// ---- streams ----

std::uint32_t H2Client::allowed() const {
  if (!has_settings_) return streams_expected_;
  return std::min(kStreamsMax, nghttp2_session_get_remote_settings(
                                   native_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
}

bool H2Client::has_room() const {
  if (open_ >= allowed()) return false;
  if (phase_ == Phase::connecting) return !is_unwanted_;
  return phase_ == Phase::open && nghttp2_session_check_request_allowed(native_) != 0;
}

bool H2Client::looks_stale() const {
  return lent_ == 0 && tcp_.has_input();
}

H2ClientStream& H2Client::lend() {
  DCHECK(has_room());
  const bool was_idle = is_idle();
  H2ClientStream* stream = context_->h2->client_streams.make(*context_, *this, was_idle);
  if (phase_ == Phase::connecting) {
    waiting_.push_back(*stream);
  } else {
    streams_.push_back(*stream);
    if (was_idle) watch(context_->silent_ms);
  }
  ++lent_;
  ++open_;
  return *stream;
}

H2ClientStream* H2Client::pop_waiting() {
  H2ClientStream* stream = waiting_.pop_front();
  if (stream != nullptr) streams_.push_back(*stream);
  return stream;
}

void H2Client::on_stream_released(H2ClientStream& stream, bool is_over) {
  --lent_;
  if (is_over) stream.base::ListHook<H2ClientStream>::unlink();
  if (stream.id() == -1) --open_;
  if (phase_ == Phase::leaving && lent_ == 0) say_goodbye();
}

void H2Client::on_stream_detached() {
  --lent_;
  if (phase_ == Phase::leaving && lent_ == 0) say_goodbye();
}

void H2Client::idle(std::uint64_t idle_ms) {
  if (phase_ == Phase::open && lent_ == 0) arm(idle_ms);
}

// ---- bytes ----

void H2Client::on_bytes(std::span<const char> bytes) {
  if (phase_ == Phase::closing) return;
  has_heard_ = true;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const ssize_t taken = nghttp2_session_mem_recv(native_, data, bytes.size());
  if (phase_ == Phase::closing) return;
  if (taken < 0) {
    fail(kRulesBroken);
    return;
  }
  settle();
  flush_soon();
}

void H2Client::on_drained() {
  flush_soon();
}

void H2Client::flush() {
  if (phase_ == Phase::connecting || phase_ == Phase::closing) return;
  if (!output_.make(native_, tcp_)) {
    fail({EndReason::internal, Side::internal, Retry::no, "HTTP/2 has failed"});
    return;
  }
  settle();
  if (nghttp2_session_get_outbound_queue_size(native_) > kOutboundMax) {
    fail(kRulesBroken);  // it makes us answer, and does not read the answers
    return;
  }
  const bool is_over =
      nghttp2_session_want_read(native_) == 0 && nghttp2_session_want_write(native_) == 0;
  if (is_over) end();
}

// What HTTP/2 has closed in the meantime, and whose queue has drained.
void H2Client::settle() {
  while (H2ClientStream* stream = closed_.pop_front())
    stream->on_closed();
  if (!has_drained_) return;
  has_drained_ = false;
  for (H2ClientStream* stream = streams_.front(); stream != nullptr;
       stream = streams_.next(*stream)) {
    stream->tell_drained();
  }
}

int H2Client::on_frame_begin(std::uint8_t type, std::uint8_t flags, std::size_t length) {
  if (phase_ == Phase::closing) return NGHTTP2_ERR_CALLBACK_FAILURE;
  if (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) has_progress_ = true;
  if (type == NGHTTP2_RST_STREAM) return 0;  // each is the end of a request of ours
  // We have said that we take none before we asked for anything.
  if (type == NGHTTP2_PUSH_PROMISE) return NGHTTP2_ERR_CALLBACK_FAILURE;
  const H2FrameCost cost = cost_of_frame(type, flags, length);
  if (cost.is_too_much) return NGHTTP2_ERR_CALLBACK_FAILURE;
  return cost.is_free ? 0 : spend(cost.kind);
}

int H2Client::spend(H2Abuse kind) {
  const bool fits = budget_.spend(context_->h2->limits, kind, context_->loop.now_ms());
  return fits ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

// ---- the end ----

void H2Client::leave() {
  if (phase_ == Phase::connecting) {
    is_unwanted_ = true;
    return;
  }
  if (phase_ != Phase::open) return;
  phase_ = Phase::leaving;
  if (lent_ == 0) say_goodbye();
}

void H2Client::say_goodbye() {
  nghttp2_session_terminate_session(native_, NGHTTP2_NO_ERROR);
  arm(kFarewellMs);
  flush_soon();
}

// All has been said, by both or by the member alone.
void H2Client::end() {
  phase_ = Phase::closing;
  end_streams(is_rule_broken_ ? kRulesBroken : kLost);
  arm(kFarewellMs);
  tcp_.finish();
}

void H2Client::on_end(Error why) {
  if (phase_ == Phase::connecting || phase_ == Phase::closing) return;
  const bool is_of_tls = why.reason == EndReason::upstream_tls;  // e.g. it dislikes our certificate
  fail(is_of_tls ? why : kLost);
}

void H2Client::fail(Error why) {
  if (phase_ == Phase::closing) return;
  phase_ = Phase::closing;
  deadline_.disarm();
  end_streams(why);
  tcp_.close();
}

void H2Client::end_streams(Error why) {
  while (H2ClientStream* stream = waiting_.pop_front())
    stream->on_connection_lost(why);
  while (H2ClientStream* stream = closed_.pop_front())
    stream->on_closed();
  while (H2ClientStream* stream = streams_.pop_front())
    stream->on_connection_lost(why);
  lent_ = open_ = 0;
}

void H2Client::close() {
  DCHECK(lent_ == 0);
  fail(kLost);
  tcp_.close();  // also when it waits for its last bytes
}

void H2Client::on_closed() {
  owner_->on_client_gone(*this);
}

// ---- time ----

void H2Client::on_deadline() {
  switch (phase_) {
    case Phase::connecting:
      phase_ = Phase::leaving;
      owner_->on_client_connected(*this, is_starved_        ? kStarved
                                         : reached_ns_ != 0 ? kTlsTimeout
                                                            : kConnectTimeout);
      return;
    case Phase::closing:
      tcp_.close();
      return;
    case Phase::open:
    case Phase::leaving:
      break;
  }
  if (lent_ > 0) {
    look_after_member();
  } else if (phase_ == Phase::open) {
    leave();
  } else {
    close();
  }
}

void H2Client::look_after_member() {
  const std::uint64_t now = context_->loop.now_ns();
  if (has_heard_) {
    has_heard_ = is_pinging_ = false;
    watch(context_->silent_ms);
    return;
  }
  // It takes what waits for it, if slowly: a PING waits behind that.
  if (was_blocked_ && tcp_.bytes_sent() != sent_) {
    watch(is_pinging_ ? context_->ping_ms : context_->silent_ms);
    return;
  }
  if (is_pinging_) {
    fail({EndReason::upstream_reset, Side::upstream, Retry::idempotent,
          "the member does not answer PING"});
    return;
  }
  const bool may_ping = pinged_ns_ == 0 || has_progress_ || now - pinged_ns_ > kPingAgainNs;
  if (!may_ping) {
    watch(context_->silent_ms);
    return;
  }
  pinged_ns_ = now;
  has_progress_ = false;
  is_pinging_ = true;
  nghttp2_submit_ping(native_, NGHTTP2_FLAG_NONE, nullptr);
  flush_soon();
  watch(context_->ping_ms);
}

void H2Client::watch(std::uint64_t for_ms) {
  was_blocked_ = tcp_.unsent() > 0;
  sent_ = tcp_.bytes_sent();
  arm(for_ms);
}

}  // namespace portunus::http
