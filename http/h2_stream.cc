// H2Stream: what comes from the client, and how a stream ends.
#include "http/h2_stream.h"

#include <nghttp2/nghttp2.h>

#include <memory>
#include <utility>

#include "http/framing.h"
#include "http/grpc.h"
#include "http/h2_session.h"
#include "http/h2_shared.h"
#include "http/reply.h"
#include "http/request_id.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

constexpr Error kBrokenRules{EndReason::rejected_framing, Side::client, Retry::no,
                             "the stream broke the rules of HTTP/2"};

constexpr std::string_view kPriority = "priority";

}  // namespace

H2Stream::H2Stream(H2Session& session, std::int32_t id)
    : session_(&session),
      inbound_(session.context().inbounds.make(session.context().loop.chunks())),
      body_(session.context().loop.chunks()),
      deadline_(this, [](void* self) { static_cast<H2Stream*>(self)->on_deadline(); }),
      id_(id) {
  inbound_->head.clear();
  inbound_->head.arena = &inbound_->arena;
  fields_.start_head(inbound_->head, session.context().limits);
  arm(session.context().headers_ms);
}

H2Stream::~H2Stream() {
  session_->context().inbounds.destroy(inbound_);
}

nghttp2_session* H2Stream::native() const {
  return session_->native();
}

void H2Stream::arm(std::uint64_t after_ms) {
  session_->context().loop.timers().arm(deadline_, after_ms);
}

// ---- the request ----

void H2Stream::on_trailers_begin() {
  if (trailers_ != nullptr) return;
  void* place = inbound_->arena.take(sizeof(HeaderBlock) + alignof(HeaderBlock));
  std::size_t room = sizeof(HeaderBlock) + alignof(HeaderBlock);
  place = std::align(alignof(HeaderBlock), sizeof(HeaderBlock), place, room);
  trailers_ = std::construct_at(static_cast<HeaderBlock*>(place));  // the arena never destroys it
  fields_.start_trailers(*trailers_, inbound_->arena, session_->context().limits, Side::client);
}

void H2Stream::on_fields_end(bool end) {
  if (is_over_) return;
  const Error error = fields_.finish(end);
  if (trailers_ != nullptr) {
    if (error.is_error() && !request_done_) {
      StreamHandler* handler = std::exchange(handler_, nullptr);
      submit_reset(NGHTTP2_PROTOCOL_ERROR);
      reset_by_us_ = false;  // it counts as provoked
      if (handler != nullptr) handler->on_reset(error);
    }
    return;  // on_request_end() follows
  }
  Head& head = inbound_->head;
  is_head_request_ = head.method == Method::head;
  request_done_ = end;
  if (error.is_error()) {
    refuse(error);
    return;
  }
  head_done_ = true;
  awaits_tunnel_ = head.upgrade;
  const std::size_t priority = head.fields.find(kPriority);
  if (priority != HeaderBlock::kNone) on_priority(head.fields.field(priority).value());
  if (awaits_tunnel_ || end) {
    deadline_.disarm();
  } else {
    progress_ = bytes_moved_;
    arm(session_->context().body_ms);
  }
  handler_ = session_->context().acceptor.on_stream(*this, session_->client());
  if (handler_ != nullptr) handler_->on_head(head, end || awaits_tunnel_);
}

void H2Stream::on_data(std::span<const char> bytes) {
  bytes_moved_ += bytes.size();
  if (handler_ == nullptr || is_over_) {
    // Of an answered request: dropped. Its window stays as it is.
    nghttp2_session_consume_connection(native(), bytes.size());
    session_->flush_soon();
    return;
  }
  unconsumed_ += static_cast<std::uint32_t>(bytes.size());
  if (awaits_tunnel_) {
    inbound_->stash.append(bytes);  // the window bounds it
    return;
  }
  handler_->on_body(bytes, false);
  if (!is_paused_) consume(std::exchange(unconsumed_, 0));
}

void H2Stream::on_request_end() {
  if (request_done_ || is_over_) return;
  request_done_ = true;
  if (awaits_tunnel_) return;
  if (is_tunnel_) {
    tell_tunnel_end();
    return;
  }
  if (!is_writing()) deadline_.disarm();
  if (handler_ == nullptr) return;
  if (trailers_ != nullptr && trailers_->size() > 0) {
    handler_->on_trailers(*trailers_);
  } else {
    handler_->on_body({}, true);
  }
}

// The client's half of the tunnel has ended.
void H2Stream::tell_tunnel_end() {
  StreamHandler* handler = handler_;
  if (handler == nullptr) return;
  if (response_done_) handler_ = nullptr;
  handler->on_body({}, true);
}

// The tunnel stands: what has come for it goes into it.
void H2Stream::on_turn_end() {
  if (is_over_ || !is_tunnel_ || !awaits_tunnel_) return;
  awaits_tunnel_ = false;
  base::ChunkQueue& stash = inbound_->stash;
  while (!stash.empty() && handler_ != nullptr) {
    const std::span<const char> front = stash.front();
    handler_->on_body(front, false);
    stash.drain(front.size());
  }
  if (!is_paused_) consume(std::exchange(unconsumed_, 0));
  if (request_done_) tell_tunnel_end();
}

void H2Stream::consume(std::size_t size) {
  if (size == 0) return;
  if (is_over_) {
    nghttp2_session_consume_connection(native(), size);
  } else {
    nghttp2_session_consume(native(), id_, size);
  }
  session_->flush_soon();
}

void H2Stream::set_reading(bool on) {
  is_paused_ = !on;
  if (!on) is_rated_ = false;
  if (!on || is_over_) return;
  if (!awaits_tunnel_) consume(std::exchange(unconsumed_, 0));
  if (head_done_ && !request_done_ && !is_tunnel_ && !deadline_.is_armed()) {
    progress_ = bytes_moved_;
    arm(session_->context().body_ms);
  }
}

// Answers by itself. Nothing more is read.
void H2Stream::refuse(Error why) {
  handler_ = nullptr;
  awaits_tunnel_ = false;
  const bool is_new = !head_done_;
  Head reply;
  const Head& request = inbound_->head;
  std::string_view id;
  if (is_new) {
    char* text = inbound_->arena.take(kRequestIdSize);
    write_request_id(text);
    id = {text, kRequestIdSize};
  } else {
    id = request.fields.value_of(HeaderId::x_request_id);  // what the exchange has given it
  }
  reply.arena = &inbound_->arena;
  const std::string_view body = make_error_reply(why, 0, &request, id, reply);
  send_head(reply, body.empty() || is_head_request_);
  if (!body.empty() && !is_head_request_) send_body({body.data(), body.size()}, true);
  if (!is_new) return;
  head_done_ = true;  // told
  session_->context().acceptor.on_refused(session_->client(), request, why, reply.status, id);
}

// ---- the end ----

void H2Stream::close(Error why) {
  if (is_over_) return;
  is_over_ = true;
  deadline_.disarm();
  body_.clear();
  unsent_ = 0;
  consume(std::exchange(unconsumed_, 0));
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (!why.is_error()) why = kBrokenRules;  // nghttp2 has reset it
  if (!head_done_) {
    head_done_ = true;
    session_->context().acceptor.on_refused(session_->client(), inbound_->head, why, 0, {});
  }
  if (handler != nullptr) handler->on_reset(why);
  session_->context().loop.bury(*this);
}

void H2Stream::shut_down(Error why) {
  if (is_over_) return;
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (handler != nullptr) handler->on_reset(why);
  if (response_done_) return;
  if (response_begun_ || !head_done_) {
    submit_reset(NGHTTP2_CANCEL);
  } else {
    refuse(why);
  }
}

void H2Stream::bury() {
  H2Session& session = *session_;
  session.on_stream_buried();
  session.context().h2->streams.destroy(this);
}

// ---- time ----

bool H2Stream::is_writing() const {
  return !end_sent_ && (unsent_ > 0 || response_done_);
}

// Whether anything has moved since the deadline was armed: on this stream or, while others have their
// turn before it, on the connection.
bool H2Stream::has_progressed() {
  const std::uint64_t session_progress = session_->bytes_sent();
  const bool waits_for_turn = is_writing() && session_progress != session_progress_ &&
                              nghttp2_session_get_stream_remote_window_size(native(), id_) > 0;
  const bool has_moved = bytes_moved_ != progress_;
  progress_ = bytes_moved_;
  session_progress_ = session_progress;
  return has_moved || waits_for_turn;
}

// As H1Server's; calls of gRPC are conversations from their beginning.
bool H2Stream::is_rate_asked_for() const {
  return !request_done_ && !response_begun_ && !is_grpc_call(inbound_->head);
}

void H2Stream::on_deadline() {
  if (is_over_) return;
  if (!head_done_) {
    submit_reset(NGHTTP2_CANCEL);  // in the middle of its head
    return;
  }
  if (end_sent_ && !is_tunnel_) {
    submit_reset(NGHTTP2_NO_ERROR);  // RFC 9113 section 8.1
    return;
  }
  const ServerContext& context = session_->context();
  // A call that is being answered is a conversation: its client may listen for as long as the member
  // speaks, whose silence has a bound of its own.
  const bool is_listening = response_begun_ && !response_done_ && is_grpc_call(inbound_->head);
  const bool waits_for_body = !request_done_ && !is_tunnel_ && !is_paused_ && !is_listening;
  if (!is_writing() && !waits_for_body) {
    if (!request_done_ && !is_tunnel_) arm(context.body_ms);
    return;
  }
  // The connection's window is used up by bodies that members leave waiting: it may not send.
  if (!is_writing() && nghttp2_session_get_local_window_size(native()) <= 0) {
    is_rated_ = false;
    arm(context.body_ms);
    return;
  }
  const bool is_too_slow =
      is_rated_ && is_rate_asked_for() && bytes_moved_ - progress_ < context.body_least;
  if (has_progressed() && !is_too_slow) {
    is_rated_ = is_rate_asked_for();
    arm(is_writing() ? context.write_ms : context.body_ms);
    return;
  }
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (handler != nullptr) handler->on_reset(kClientTimeout);
  if (response_begun_) {
    submit_reset(NGHTTP2_CANCEL);
  } else {
    refuse(kClientTimeout);
  }
}

}  // namespace portunus::http
