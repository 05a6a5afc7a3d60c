#include "http/h2_client_stream.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "http/h2_client.h"
#include "http/h2_common_callbacks.h"
#include "http/h2_nv.h"
#include "http/h2_shared.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

}  // namespace

H2ClientStream::H2ClientStream(ClientContext& context, H2Client& connection, bool was_idle)
    : context_(&context),
      connection_(&connection),
      body_(context.loop.chunks()),
      was_idle_(was_idle) {}

H2ClientStream::~H2ClientStream() {
  if (inbound_ != nullptr) context_->inbounds.destroy(inbound_);
}

std::uint64_t H2ClientStream::reached_ns() const {
  return connection_ == nullptr ? 0 : connection_->reached_ns();
}

// ---- the request ----

void H2ClientStream::begin(StreamHandler& handler) {
  DCHECK(inbound_ == nullptr);
  inbound_ = context_->inbounds.make(context_->loop.chunks());
  handler_ = &handler;
}

void H2ClientStream::flush_soon() {
  if (connection_ != nullptr) connection_->flush_soon();
}

void H2ClientStream::send_head(const Head& head, bool end) {
  if (connection_ == nullptr || is_closed_ || is_reset_by_us_ || id_ != -1) return;
  method_ = head.method;
  has_length_ = head.body == BodyKind::length;
  request_left_ = head.content_length;
  H2NameValues fields;
  if (!put_request(head, connection_->scheme(), context_->loop.scratch(), fields)) {
    fail({EndReason::rejected_header_size, Side::client, Retry::no, "request head too large"});
    return;
  }
  const nghttp2_data_provider body = H2CommonCallbacks<H2Client, H2ClientStream>::body_of(*this);
  const std::int32_t id = nghttp2_submit_request(connection_->native(), nullptr, fields.data(),
                                                 fields.size(), end ? nullptr : &body, this);
  if (id < 0) {
    fail({EndReason::upstream_reset, Side::upstream, Retry::unsent,
          "the connection takes no more streams"});
    return;
  }
  id_ = id;
  request_done_ = end;
  flush_soon();
}

bool H2ClientStream::is_commanded() const {
  return connection_ != nullptr && id_ != -1 && !is_closed_ && !is_reset_by_us_ && !request_done_;
}

void H2ClientStream::send_body(std::span<const char> bytes, bool end) {
  if (!is_commanded()) return;
  if (has_length_) {
    bytes = bytes.first(std::min<std::uint64_t>(bytes.size(), request_left_));
    request_left_ -= bytes.size();
  }
  if (!bytes.empty()) {
    body_.append(bytes);
    unsent_ = body_.size();
    is_high_ = is_high_ || unsent_ > kUnsentHigh;
  }
  if (end) {
    request_done_ = true;
    body_.end();
  }
  body_.wake(connection_->native(), id_);
  flush_soon();
}

void H2ClientStream::send_trailers(const HeaderBlock& trailers) {
  if (!is_commanded()) return;
  body_.keep_trailers(trailers, inbound_->arena);
  send_body({}, true);
}

void H2ClientStream::set_reading(bool on) {
  is_paused_ = !on;
  if (!on || is_closed_ || connection_ == nullptr || unconsumed_ == 0) return;
  nghttp2_session_consume_stream(connection_->native(), id_, std::exchange(unconsumed_, 0));
  flush_soon();
}

void H2ClientStream::reset(Error /*why*/) {
  handler_ = nullptr;
  submit_reset(NGHTTP2_CANCEL);
}

void H2ClientStream::submit_reset(std::uint32_t code) {
  if (connection_ == nullptr || id_ == -1 || is_closed_ || is_reset_by_us_) return;
  is_reset_by_us_ = true;
  // A member that does not read must not keep what nobody sends any more. A frame of it that waits
  // half-made is dropped by send_data (h2_common_callbacks.h).
  body_.clear();
  unsent_ = 0;
  nghttp2_submit_rst_stream(connection_->native(), NGHTTP2_FLAG_NONE, id_, code);
  flush_soon();
}

// Told at the end of the turn: the cause is a command of the handler itself.
void H2ClientStream::fail(Error why) {
  failure_ = why;
  context_->loop.defer(*this);
}

void H2ClientStream::on_turn_end() {
  const Error why = std::exchange(failure_, Error{});
  if (why.is_error()) end(why);
}

void H2ClientStream::end(Error why) {
  if (StreamHandler* handler = std::exchange(handler_, nullptr)) handler->on_reset(why);
}

void H2ClientStream::release() {
  DCHECK(!is_released_);
  is_released_ = true;
  handler_ = nullptr;
  failure_ = {};
  set_tag(nullptr);
  if (connection_ == nullptr) {
    context_->loop.bury(*this);
    return;
  }
  const bool is_over = is_closed_ || id_ == -1;
  // One whose both directions have ended HTTP/2 closes by itself.
  if (!is_over && !(answer_done_ && is_end_sent_)) submit_reset(NGHTTP2_CANCEL);
  connection_->on_stream_released(*this, is_over);
  if (is_over) context_->loop.bury(*this);
}

void H2ClientStream::bury() {
  context_->h2->client_streams.destroy(this);
}

// ---- frames of the request ----

long H2ClientStream::read(std::size_t most, std::uint32_t& flags) {
  return body_.read(connection_->native(), id_, most, flags);
}

void H2ClientStream::take(char* out, std::size_t size) {
  body_.take(out, size);
  unsent_ = body_.size();
}

void H2ClientStream::tell_drained() {
  if (!is_high_ || unsent_ > kUnsentLow) return;
  is_high_ = false;
  if (handler_ != nullptr) handler_->on_drained();
}

// ---- the answer ----

void H2ClientStream::on_fields_begin() {
  if (is_released_) return;
  is_answered_ = true;
  Inbound& inbound = *inbound_;
  if (!head_done_) {
    // Of an interim head nothing is left to be used; its text goes with the stream.
    inbound.head.clear();
    inbound.head.arena = &inbound.arena;
    fields_.start_answer(inbound.head, context_->limits, method_);
    return;
  }
  if (trailers_ != nullptr) return;
  std::size_t room = sizeof(HeaderBlock) + alignof(HeaderBlock);
  void* place = inbound.arena.take(room);
  place = std::align(alignof(HeaderBlock), sizeof(HeaderBlock), place, room);
  trailers_ = std::construct_at(static_cast<HeaderBlock*>(place));  // the arena never destroys it
  fields_.start_trailers(*trailers_, inbound.arena, context_->limits, Side::upstream);
}

void H2ClientStream::on_fields_end(bool end) {
  if (handler_ == nullptr) return;
  const Error error = fields_.finish(end);
  if (error.is_error()) {
    submit_reset(NGHTTP2_PROTOCOL_ERROR);
    this->end(error);
    return;
  }
  if (head_done_) return;  // on_answer_end() follows
  Head& head = inbound_->head;
  if (head.is_interim()) {
    if (++interim_heads_ > kInterimHeadsMax) {
      submit_reset(NGHTTP2_ENHANCE_YOUR_CALM);
      this->end(
          {EndReason::upstream_protocol, Side::upstream, Retry::no, "too many interim responses"});
      return;
    }
    handler_->on_head(head, false);
    return;
  }
  head_done_ = true;
  // The end of an answer without a body may come in a frame of its own.
  is_head_held_ = head.body == BodyKind::none;
  if (!end && !is_head_held_) handler_->on_head(head, false);
}

void H2ClientStream::on_data(std::span<const char> bytes) {
  // Of all streams together the bytes are not held back, or a few slow clients would hold back all.
  nghttp2_session_consume_connection(connection_->native(), bytes.size());
  flush_soon();
  if (handler_ == nullptr) return;
  unconsumed_ += static_cast<std::uint32_t>(bytes.size());
  handler_->on_body(bytes, false);
  if (is_paused_ || connection_ == nullptr || is_reset_by_us_) return;
  nghttp2_session_consume_stream(connection_->native(), id_, std::exchange(unconsumed_, 0));
}

void H2ClientStream::on_answer_end() {
  if (answer_done_ || !head_done_) return;
  answer_done_ = true;
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (handler == nullptr) return;
  if (is_head_held_) {
    handler->on_head(inbound_->head, true);
  } else if (trailers_ != nullptr && trailers_->size() > 0) {
    handler->on_trailers(*trailers_);
  } else {
    handler->on_body({}, true);
  }
}

// ---- the end ----

Retry H2ClientStream::retry() const {
  if (!is_head_sent_) return Retry::unsent;
  return is_answered_ ? Retry::no : Retry::idempotent;
}

void H2ClientStream::on_closed() {
  body_.clear();
  unsent_ = 0;
  if (is_released_) {
    context_->loop.bury(*this);
    return;
  }
  tell_closed();
  if (is_released_) return;
  // Nothing of the connection knows it any more.
  std::exchange(connection_, nullptr)->on_stream_detached();
}

void H2ClientStream::tell_closed() {
  if (close_code_ == NGHTTP2_REFUSED_STREAM && !is_answered_) {  // RFC 9113 section 8.7
    end({EndReason::upstream_reset, Side::upstream, Retry::unsent,
         "the member refused the stream"});
  } else if (is_head_sent_ && !is_reset_received_ && close_code_ != NGHTTP2_NO_ERROR) {
    end({EndReason::upstream_protocol, Side::upstream, Retry::no,
         "the answer broke the rules of HTTP/2"});
  } else {
    end({EndReason::upstream_reset, Side::upstream, retry(),
         is_answered_ ? "the member reset the stream in the middle of its answer"
                      : "the member reset the stream without an answer"});
  }
}

void H2ClientStream::on_connection_lost(Error why) {
  connection_ = nullptr;
  is_closed_ = true;
  body_.clear();
  unsent_ = 0;
  if (is_released_) {
    context_->loop.bury(*this);
    return;
  }
  const bool is_their_fault = why.reason == EndReason::upstream_protocol && is_head_sent_;
  why.retry = is_their_fault ? Retry::no : retry();
  end(why);
}

}  // namespace portunus::http
