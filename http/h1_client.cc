#include "http/h1_client.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

// How long a member may take none of a tunnel's last bytes (milliseconds).
constexpr std::uint64_t kLeaveMs = 10'000;

constexpr Error protocol_error(const char* detail) {
  return {EndReason::upstream_protocol, Side::upstream, Retry::no, detail};
}

bool has_body_by_custom(Method method) {
  return method == Method::post || method == Method::put || method == Method::patch;
}

// The seconds of `timeout=N` in a Keep-Alive field, 0 when absent or odd.
std::uint16_t announced_keep_alive(const HeaderBlock& fields) {
  const std::string_view value = fields.value_of(HeaderId::keep_alive);
  const std::size_t at = value.find("timeout=");
  if (at == std::string_view::npos) return 0;
  std::uint16_t seconds = 0;
  const char* begin = value.data() + at + 8;
  const auto parsed = std::from_chars(begin, value.data() + value.size(), seconds);
  return parsed.ec == std::errc{} ? seconds : std::uint16_t{0};
}

}  // namespace

H1Client::H1Client(ClientContext& context, H1ClientOwner& owner)
    : context_(&context),
      owner_(&owner),
      deadline_(this, [](void* self) { static_cast<H1Client*>(self)->on_deadline(); }),
      tcp_(context.loop, *this) {}

// ---- life ----

void H1Client::begin(StreamHandler& handler) {
  DCHECK(phase_ == Phase::idle);
  phase_ = Phase::exchange;
  handler_ = &handler;
  deadline_.disarm();
  ++exchanges_;
  interim_heads_ = 0;
  upgrade_asked_ = request_chunked_ = request_begun_ = request_done_ = false;
  response_begun_ = response_done_ = false;
}

bool H1Client::end_exchange(std::uint64_t idle_ms) {
  handler_ = nullptr;
  failure_ = {};
  if (inbound_ != nullptr) context_->inbounds.destroy(std::exchange(inbound_, nullptr));
  if (phase_ != Phase::exchange || !response_done_ || !request_done_ || !reusable_ || peer_ended_ ||
      tcp_.unsent() > 0) {
    return false;
  }
  phase_ = Phase::idle;
  tcp_.set_reading(true);
  if (keep_alive_s_ > 0) {
    // One second before the member hangs up, so that we seldom meet it in the door.
    const std::uint64_t announced = std::uint64_t{keep_alive_s_} * 1000;
    idle_ms = std::min(idle_ms, announced > 1000 ? announced - 1000 : announced / 2);
  }
  context_->loop.timers().arm(deadline_, idle_ms);
  return true;
}

void H1Client::close() {
  if (phase_ == Phase::closing) return;
  phase_ = Phase::closing;
  handler_ = nullptr;
  deadline_.disarm();
  tcp_.close();
}

bool H1Client::close_when_sent() {
  if (phase_ != Phase::tunnel || !we_ended_ || tcp_.unsent() == 0) {
    close();
    return false;
  }
  phase_ = Phase::leaving;
  request_left_ = tcp_.bytes_sent();
  context_->loop.timers().arm(deadline_, kLeaveMs);
  tcp_.finish();
  return true;
}

void H1Client::on_closed() {
  if (inbound_ != nullptr) context_->inbounds.destroy(std::exchange(inbound_, nullptr));
  owner_->on_client_gone(*this);
}

void H1Client::on_deadline() {
  if (phase_ == Phase::connecting) {
    on_connect_deadline();
  } else if (phase_ == Phase::idle) {
    owner_->on_client_stale(*this);
  } else if (phase_ == Phase::leaving) {
    if (tcp_.bytes_sent() == request_left_) {
      close();
      return;
    }
    request_left_ = tcp_.bytes_sent();
    context_->loop.timers().arm(deadline_, kLeaveMs);
  }
}

// ---- the request ----

void H1Client::send_head(const Head& head, bool end) {
  if (phase_ != Phase::exchange) return;
  method_ = head.method;
  upgrade_asked_ = head.upgrade;
  request_begun_ = true;
  WireHead wire;
  // Who is asked to speak another protocol is not told to hang up.
  if (!reusable_ && !head.upgrade) wire.connection = WireConnection::close;
  if (head.body == BodyKind::length) {
    wire.framing = WireFraming::content_length;
    wire.content_length = request_left_ = head.content_length;
  } else if (head.body == BodyKind::unknown) {
    wire.framing = WireFraming::chunked;
    request_chunked_ = true;
  } else if (has_body_by_custom(head.method)) {
    wire.framing = WireFraming::content_length;  // RFC 9110 section 8.6: say that it is empty
  }
  const std::span<char> out = context_->loop.scratch();
  const std::size_t size = write_request_head(head, wire, out);
  if (size == 0) {
    fail({EndReason::rejected_header_size, Side::client, Retry::no, "request head too large"});
    return;
  }
  tcp_.write(std::span<const char>(out.data(), size));
  if (end) {
    if (request_chunked_) tcp_.write(kLastChunk);
    request_done_ = true;
  }
  sync_unsent();
}

void H1Client::send_body(std::span<const char> bytes, bool end) {
  if (phase_ == Phase::tunnel) {
    if (!bytes.empty()) tcp_.write(bytes);
    sync_unsent();
    if (end && !we_ended_) {
      we_ended_ = true;
      tcp_.end_writing();
    }
    return;
  }
  if (phase_ != Phase::exchange || request_done_) return;
  if (request_chunked_) {
    if (!bytes.empty()) {
      char header[kChunkHeaderMax];
      tcp_.write(std::span<const char>(header, write_chunk_header(bytes.size(), header)));
      tcp_.write(bytes);
      tcp_.write(kChunkEnd);
    }
    if (end) tcp_.write(kLastChunk);
  } else {
    const std::size_t count =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), request_left_));
    request_left_ -= count;
    if (count > 0) tcp_.write(bytes.first(count));
    if (end && request_left_ > 0) reusable_ = false;
  }
  if (end) request_done_ = true;
  sync_unsent();
}

void H1Client::send_trailers(const HeaderBlock& trailers) {
  if (phase_ != Phase::exchange || request_done_) return;
  const std::span<char> out = context_->loop.scratch();
  const std::size_t size = request_chunked_ ? write_trailers(trailers, out) : 0;
  if (size == 0) {
    send_body({}, true);
    return;
  }
  tcp_.write(std::span<const char>(out.data(), size));
  request_done_ = true;
  sync_unsent();
}

void H1Client::set_reading(bool on) {
  if (phase_ == Phase::closing || peer_ended_) return;
  tcp_.set_reading(on);
}

void H1Client::reset(Error /*why*/) {
  handler_ = nullptr;
  reusable_ = false;
}

// ---- the answer ----

void H1Client::on_bytes(std::span<const char> bytes) {
  switch (phase_) {
    case Phase::connecting:
    case Phase::leaving:
    case Phase::closing:
      return;
    case Phase::idle:
      owner_->on_client_stale(*this);  // nobody asked: never the answer to a later request
      return;
    case Phase::tunnel:
      if (handler_ != nullptr) handler_->on_body(bytes, false);
      return;
    case Phase::exchange:
      break;
  }
  if (response_done_ || handler_ == nullptr) {
    reusable_ = false;  // bytes after the end
    return;
  }
  if (!request_begun_) {
    fail(protocol_error("an answer before the request"));
    return;
  }
  response_begun_ = true;
  read_response(bytes);
}

void H1Client::read_response(std::span<const char> bytes) {
  while (!bytes.empty() && handler_ != nullptr && phase_ == Phase::exchange) {
    if (inbound_ == nullptr || !inbound_->parser.has_begun()) begin_response();
    const H1Parser::Progress progress = inbound_->parser.feed(bytes);
    bytes = bytes.subspan(progress.consumed);
    switch (progress.result) {
      case H1Parser::Result::need_more:
      case H1Parser::Result::stopped:
        return;
      case H1Parser::Result::failed:
        fail(inbound_->parser.error());
        return;
      case H1Parser::Result::upgraded:
        phase_ = Phase::tunnel;
        if (!bytes.empty() && handler_ != nullptr) handler_->on_body(bytes, false);
        return;
      case H1Parser::Result::complete:
        if (inbound_->head.is_interim()) {
          // The handler has had it; the storage serves the next head.
          inbound_->head.clear();
          inbound_->arena.reset();
          begin_response();
          if (bytes.empty()) return;
          continue;
        }
        if (!bytes.empty()) reusable_ = false;
        finish_response();
        return;
    }
  }
}

void H1Client::begin_response() {
  if (inbound_ == nullptr) inbound_ = context_->inbounds.make(context_->loop.chunks());
  inbound_->head.arena = &inbound_->arena;
  inbound_->parser.start_response(inbound_->arena, inbound_->head, *this, context_->limits,
                                  {method_, upgrade_asked_});
}

void H1Client::on_message_head() {
  Head& head = inbound_->head;
  if (handler_ == nullptr) return;
  if (head.is_interim()) {
    if (++interim_heads_ > kInterimHeadsMax) {
      inbound_->parser.stop();  // or the final head behind them would still be passed on
      fail(protocol_error("too many interim responses"));
      return;
    }
    handler_->on_head(head, false);
    return;
  }
  if (!inbound_->parser.keeps_alive()) reusable_ = false;
  keep_alive_s_ = announced_keep_alive(head.fields);
  if (head.status == 101) {
    handler_->on_head(head, false);
    return;
  }
  if (head.body == BodyKind::none) {
    response_done_ = true;
    std::exchange(handler_, nullptr)->on_head(head, true);
    return;
  }
  handler_->on_head(head, false);
}

void H1Client::on_message_body(std::span<const char> bytes) {
  if (handler_ != nullptr) handler_->on_body(bytes, false);
}

void H1Client::finish_response() {
  if (response_done_) return;
  response_done_ = true;
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (handler == nullptr) return;
  const HeaderBlock* trailers = inbound_->parser.trailers();
  if (trailers != nullptr && trailers->size() > 0) {
    handler->on_trailers(*trailers);
  } else {
    handler->on_body({}, true);
  }
}

void H1Client::on_end(Error why) {
  peer_ended_ = true;
  switch (phase_) {
    case Phase::leaving:
      if (why.is_error()) close();
      return;
    case Phase::connecting:
    case Phase::closing:
      return;
    case Phase::idle:
      owner_->on_client_stale(*this);
      return;
    case Phase::tunnel:
      if (handler_ == nullptr) return;
      if (why.is_error()) {
        fail({EndReason::upstream_reset, Side::upstream, Retry::no, "tunnel reset by the member"});
      } else {
        handler_->on_body({}, true);
      }
      return;
    case Phase::exchange:
      break;
  }
  reusable_ = false;
  if (response_done_ || handler_ == nullptr) return;
  if (!why.is_error() && response_begun_ && inbound_->parser.has_head() &&
      inbound_->parser.finish() == H1Parser::Result::complete) {
    finish_response();
    return;
  }
  const bool silent = !response_begun_;
  // A part of the head is nothing that anybody else has seen.
  const bool is_passed_on =
      interim_heads_ > 0 || (inbound_ != nullptr && inbound_->parser.has_head());
  Retry retry = request_begun_ ? Retry::idempotent : Retry::unsent;
  if (is_passed_on) retry = Retry::no;
  if (why.reason == EndReason::upstream_tls) {  // e.g. it does not like our certificate
    fail({why.reason, Side::upstream, retry, why.detail});
    return;
  }
  fail({EndReason::upstream_reset, Side::upstream, retry,
        silent ? "the member closed the connection without an answer"
               : "the member closed the connection in the middle of its answer"});
}

void H1Client::on_drained() {
  sync_unsent();
  if (handler_ != nullptr) handler_->on_drained();
}

// Told at the end of the turn: the cause may be a command of the handler itself.
void H1Client::fail(Error why) {
  reusable_ = false;
  if (failure_.is_error()) return;
  failure_ = why;
  context_->loop.defer(*this);
}

void H1Client::on_turn_end() {
  if (!failure_.is_error() || phase_ == Phase::closing) return;
  const Error why = std::exchange(failure_, Error{});
  if (phase_ == Phase::connecting) owner_->on_client_connected(*this, why);
  if (StreamHandler* handler = std::exchange(handler_, nullptr)) handler->on_reset(why);
}

}  // namespace portunus::http
