// H2Stream: the commands of the exchange, and the frames that they become.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "http/h2_common_callbacks.h"
#include "http/h2_nv.h"
#include "http/h2_session.h"
#include "http/h2_stream.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;

// How long a client may take to end a request that has been answered.
constexpr std::uint64_t kRequestRestMs = 1'000;

// RFC 9113 section 7
std::uint32_t reset_code_of(Error why, bool is_tunnel) {
  switch (why.reason) {
    case EndReason::ok:
    case EndReason::client_closed:
    case EndReason::client_timeout:
    case EndReason::rejected_body_size:
    case EndReason::shutdown:
      return NGHTTP2_CANCEL;
    case EndReason::rejected_framing:
    case EndReason::rejected_header:
      return NGHTTP2_PROTOCOL_ERROR;
    default:
      return is_tunnel ? NGHTTP2_CONNECT_ERROR : NGHTTP2_INTERNAL_ERROR;
  }
}

}  // namespace

H2Stream::Framing H2Stream::choose_framing(const Head& head, bool end) {
  if (is_head_request_ || head.status == 204 || head.status == 304) return Framing::none;
  if (head.body != BodyKind::length || head.status == 101) return Framing::open;
  answer_left_ = end ? 0 : head.content_length;
  return Framing::length;
}

void H2Stream::send_head(const Head& head, bool end) {
  if (is_over_ || response_begun_) return;
  H2NameValues fields;
  H2HeadTexts texts;
  if (head.is_interim()) {
    put_response(head, false, texts, fields);
    nghttp2_submit_headers(native(), NGHTTP2_FLAG_NONE, id_, nullptr, fields.data(), fields.size(),
                           nullptr);
    session_->flush_soon();
    return;
  }
  response_begun_ = true;
  framing_ = choose_framing(head, end);
  // HEAD and 304 tell the length of what they leave out.
  const bool says_length =
      head.status != 204 && head.status != 101 &&
      (head.body == BodyKind::length ||
       (framing_ == Framing::none && head.fields.has(HeaderId::content_length)));
  put_response(head, says_length, texts, fields);
  if (head.status == 101) {
    is_tunnel_ = true;
    session_->context().loop.defer(*this);
  } else if (awaits_tunnel_) {
    awaits_tunnel_ = false;
    inbound_->stash.clear();  // it was not granted
    consume(std::exchange(unconsumed_, 0));
  }
  merge_priority(head);
  const nghttp2_data_provider body = H2CommonCallbacks<H2Session, H2Stream>::body_of(*this);
  const int result =
      nghttp2_submit_response(native(), id_, fields.data(), fields.size(), end ? nullptr : &body);
  if (result != 0) {
    submit_reset(NGHTTP2_INTERNAL_ERROR);
    return;
  }
  session_->flush_soon();
  if (end) finish();
}

// RFC 9218 section 8: the member knows best what its answer is for.
void H2Stream::merge_priority(const Head& answer) {
  const std::size_t at = answer.fields.find("priority");
  if (at == HeaderBlock::kNone) return;
  const H2Priority wanted = read_priority(answer.fields.field(at).value(), priority_);
  if (wanted == priority_) return;
  const nghttp2_extpri priority{wanted.urgency, wanted.is_incremental ? 1 : 0};
  nghttp2_session_change_extpri_stream_priority(native(), id_, &priority, 0);
}

void H2Stream::send_body(std::span<const char> bytes, bool end) {
  if (is_over_ || !response_begun_ || response_done_) return;
  if (framing_ == Framing::none) bytes = {};
  if (framing_ == Framing::length) {
    bytes = bytes.first(std::min<std::uint64_t>(bytes.size(), answer_left_));
    answer_left_ -= bytes.size();
  }
  if (!bytes.empty()) {
    body_.append(bytes);
    unsent_ = body_.size();
    is_high_ = is_high_ || unsent_ > kUnsentHigh;
  }
  if (end && framing_ == Framing::length && answer_left_ > 0) {
    reset({EndReason::internal, base::Side::internal, base::Retry::no, "shorter than announced"});
    return;
  }
  if (end) finish();
  wake_output();
}

void H2Stream::send_trailers(const HeaderBlock& trailers) {
  if (is_over_ || !response_begun_ || response_done_) return;
  if (framing_ != Framing::none) body_.keep_trailers(trailers, inbound_->arena);
  send_body({}, true);
}

// The exchange has said all; in a tunnel the client may still go on.
void H2Stream::finish() {
  response_done_ = true;
  body_.end();
  if (!is_tunnel_ || request_done_) handler_ = nullptr;
}

// There is something for nghttp2 to ask for.
void H2Stream::wake_output() {
  body_.wake(native(), id_);
  session_->flush_soon();
  if (is_writing() && !deadline_.is_armed()) {
    static_cast<void>(has_progressed());  // from here
    arm(session_->context().write_ms);
  }
}

void H2Stream::reset(Error why) {
  if (is_over_) return;
  handler_ = nullptr;
  const std::uint32_t code = reset_code_of(why, is_tunnel_);
  if (!response_begun_ || body_.empty()) {
    submit_reset(code);
    return;
  }
  // What was sent before stays the client's; that it is not all must be visible behind it.
  is_cut_ = true;
  body_.cut();
  reset_code_ = code;
  response_done_ = true;
  wake_output();
}

void H2Stream::submit_reset(std::uint32_t code) {
  if (is_over_ || reset_by_us_) return;
  reset_by_us_ = true;
  handler_ = nullptr;
  response_done_ = true;
  deadline_.disarm();
  nghttp2_submit_rst_stream(native(), NGHTTP2_FLAG_NONE, id_, code);
  session_->flush_soon();
}

// ---- frames ----

long H2Stream::read(std::size_t most, std::uint32_t& flags) {
  if (is_cut_ && body_.empty()) {
    submit_reset(reset_code_);
    return NGHTTP2_ERR_DEFERRED;
  }
  return body_.read(native(), id_, most, flags);
}

void H2Stream::take(char* out, std::size_t size) {
  bytes_moved_ += size;
  body_.take(out, size);
  unsent_ = body_.size();
}

// RFC 9113 section 8.1: the rest of a request that has been answered is not wanted. The client may find
// that out by itself: some take a reset, even one without an error, for the failure of the answer.
void H2Stream::on_end_sent() {
  end_sent_ = true;
  deadline_.disarm();
  if (!request_done_ && !is_tunnel_) arm(kRequestRestMs);
}

void H2Stream::tell_drained() {
  if (!is_high_ || unsent_ > kUnsentLow) return;
  is_high_ = false;
  if (handler_ != nullptr) handler_->on_drained();
}

}  // namespace portunus::http
