#include "http/h1_server.h"

#include <algorithm>

#include "base/check.h"
#include "http/date.h"
#include "http/reply.h"
#include "http/request_id.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

// What a client may still send after our last answer before we hang up on it (bytes, milliseconds).
constexpr std::uint64_t kLingerBytes = std::uint64_t{256} * 1024;
constexpr std::uint64_t kLingerMs = 2'000;
// The rest of a body that is read and dropped to keep the connection, bytes.
constexpr std::uint64_t kDroppedMax = std::uint64_t{64} * 1024;

// How long a connection that was accepted just before the drain may take to send its request.
constexpr std::uint64_t kFirstByteInDrainMs = 1'000;

constexpr Error kClientClosed{EndReason::client_closed, Side::client, Retry::no,
                              "the client closed the connection"};
constexpr Error kClientTimeout{EndReason::client_timeout, Side::client, Retry::no,
                               "the client was too slow"};

}  // namespace

H1Server::H1Server(H1ServerContext& context)
    : context_(&context),
      deadline_(this, [](void* self) { static_cast<H1Server*>(self)->on_deadline(); }),
      tcp_(context.loop, *this) {}

bool H1Server::accept(net::Listener& listener) {
  listener_ = static_cast<std::uint16_t>(listener.index());
  if (!tcp_.accept_from(listener.handle())) {
    phase_ = Phase::closing;
    tcp_.close();
    return false;
  }
  sockaddr_storage storage;
  int length = sizeof storage;
  if (uv_tcp_getpeername(tcp_.handle(), reinterpret_cast<sockaddr*>(&storage), &length) == 0) {
    peer_ = net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage));
  }
  arm(context_->headers_ms);
  tcp_.set_reading(true);
  return true;
}

void H1Server::drain() {
  if (phase_ != Phase::idle) return;
  if (requests_ > 0) {
    close_when_sent();
  } else {
    arm(kFirstByteInDrainMs);
  }
}

void H1Server::shut_down(Error why) {
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (phase_ == Phase::exchange && !response_begun_ && tcp_.unsent() == 0) {
    // It can still be told that nothing will come.
    if (handler != nullptr) handler->on_reset(why);
    if (phase_ == Phase::exchange) refuse(why);
    return;
  }
  if (response_begun_ && !response_done_) tcp_.abort();
  close();
  if (handler != nullptr) handler->on_reset(why);
}

void H1Server::close() {
  if (phase_ == Phase::closing) return;
  phase_ = Phase::closing;
  handler_ = nullptr;
  deadline_.disarm();
  tcp_.close();
}

// Nothing more is said or heard, but what has been said is the client's, however slowly it reads.
void H1Server::close_when_sent() {
  if (tcp_.unsent() == 0) {
    close();
    return;
  }
  handler_ = nullptr;
  release_inbound();
  phase_ = Phase::lingering;
  progress_ = 0;
  response_left_ = tcp_.bytes_sent();
  arm(context_->write_ms);
  tcp_.finish();
}

// ---- bytes from the client ----

void H1Server::on_bytes(std::span<const char> bytes) {
  received_ += bytes.size();
  switch (phase_) {
    case Phase::idle:
    case Phase::receiving:
      feed(bytes);
      return;
    case Phase::exchange:
      if (request_done_) {
        stash(bytes);
      } else {
        feed(bytes);
      }
      return;
    case Phase::tunnel:
      arm(context_->write_ms);
      handler_->on_body(bytes, false);
      return;
    case Phase::lingering:
      progress_ += bytes.size();
      if (progress_ > kLingerBytes) close();
      return;
    case Phase::closing:
      return;
  }
}

void H1Server::begin_message() {
  if (inbound_ == nullptr) inbound_ = context_->inbounds.make(context_->loop.chunks());
  inbound_->head.arena = &inbound_->arena;
  inbound_->parser.start_request(inbound_->arena, inbound_->head, *this, context_->limits);
  request_done_ = response_begun_ = response_done_ = false;
  // The first head's time runs from the accept, later ones' from their first byte.
  if (requests_ > 0) arm(context_->headers_ms);
  phase_ = Phase::receiving;
}

void H1Server::feed(std::span<const char> bytes) {
  if (phase_ == Phase::idle) begin_message();
  const H1Parser::Progress progress = inbound_->parser.feed(bytes);
  const std::span<const char> rest = bytes.subspan(progress.consumed);
  switch (progress.result) {
    case H1Parser::Result::need_more:
      return;
    case H1Parser::Result::complete:
    case H1Parser::Result::upgraded:
      on_request_complete();
      if (!rest.empty()) stash(rest);
      return;
    case H1Parser::Result::failed:
      on_request_failed(inbound_->parser.error());
      return;
    case H1Parser::Result::stopped:
      return;
  }
}

void H1Server::on_message_head() {
  Head& head = inbound_->head;
  phase_ = Phase::exchange;
  ++requests_;
  is_head_request_ = head.method == Method::head;
  is_http10_ = head.protocol == Protocol::http10;
  keep_alive_ = inbound_->parser.keeps_alive() && requests_ < context_->requests_max;
  request_done_ = head.body == BodyKind::none;
  if (request_done_) {
    deadline_.disarm();
  } else {
    progress_ = received_ + tcp_.bytes_sent();
    arm(context_->body_ms);
  }
  handler_ = context_->acceptor.on_stream(*this, peer_);
  if (handler_ != nullptr) handler_->on_head(head, request_done_);
}

void H1Server::on_message_body(std::span<const char> bytes) {
  if (handler_ != nullptr) handler_->on_body(bytes, false);
}

void H1Server::on_request_complete() {
  if (phase_ != Phase::exchange) return;
  if (request_done_) return;
  request_done_ = true;
  if (!response_begun_) deadline_.disarm();
  if (response_done_) context_->loop.defer(*this);
  if (handler_ == nullptr) return;
  const HeaderBlock* trailers = inbound_->parser.trailers();
  if (trailers != nullptr && trailers->size() > 0) {
    handler_->on_trailers(*trailers);
  } else {
    handler_->on_body({}, true);
  }
}

void H1Server::on_request_failed(Error why) {
  if (phase_ == Phase::receiving) {
    refuse(why);
    return;
  }
  // In the body of a request that is being handled.
  if (StreamHandler* handler = std::exchange(handler_, nullptr)) handler->on_reset(why);
  if (phase_ != Phase::exchange) return;
  if (response_done_) {
    linger();
  } else if (response_begun_) {
    tcp_.abort();
    close();
  } else {
    refuse(why);
  }
}

// Answers a request that never became a stream, or whose handler has been told already.
void H1Server::refuse(Error why) {
  const bool is_new = phase_ == Phase::receiving;
  keep_alive_ = false;
  // A client that was too slow once gets no more time for what it still wants to send.
  hangs_up_ = why.reason == EndReason::client_timeout || why.reason == EndReason::shutdown;
  Head reply;
  const Head* request = &inbound_->head;
  std::string_view id;
  if (is_new) {
    char* text = inbound_->arena.take(kRequestIdSize);
    write_request_id(text);
    id = {text, kRequestIdSize};
  } else {
    id = request->fields.value_of(HeaderId::x_request_id);  // what the exchange has given it
  }
  reply.arena = &inbound_->arena;
  const std::string_view body = make_error_reply(why, 0, request, id, reply);
  phase_ = Phase::exchange;
  is_head_request_ = request->method == Method::head && !is_new && is_head_request_;
  send_head(reply, body.empty());
  if (!body.empty()) send_body({body.data(), body.size()}, true);
  if (is_new) context_->acceptor.on_refused(peer_, *request, why, reply.status, id);
}

void H1Server::on_end(Error why) {
  peer_ended_ = true;
  switch (phase_) {
    case Phase::receiving:
      context_->acceptor.on_refused(peer_, inbound_->head, kClientClosed, 0, {});
      [[fallthrough]];
    case Phase::idle:
    case Phase::lingering:
      if (why.is_error()) {
        close();
      } else {
        close_when_sent();
      }
      return;
    case Phase::closing:
      return;
    case Phase::tunnel:
      if (!why.is_error()) {
        tell_tunnel_end();
        return;
      }
      break;
    case Phase::exchange:
      // A half-close after a whole request: the client still wants its answer.
      if (!why.is_error() && request_done_) {
        keep_alive_ = false;
        return;
      }
      break;
  }
  StreamHandler* handler = std::exchange(handler_, nullptr);
  close();
  if (handler != nullptr) handler->on_reset(kClientClosed);
}

// The client's half of the tunnel has ended.
void H1Server::tell_tunnel_end() {
  StreamHandler* handler = handler_;
  if (handler == nullptr) return;
  if (we_ended_) handler_ = nullptr;
  handler->on_body({}, true);
  if (we_ended_) finish_response();
}

void H1Server::on_drained() {
  sync_unsent();
  if (handler_ != nullptr) {
    handler_->on_drained();
  } else if (phase_ == Phase::exchange && response_done_) {
    context_->loop.defer(*this);  // the next request had to wait
  }
}

// ---- the answer ----

void H1Server::send_head(const Head& head, bool end) {
  if (phase_ == Phase::closing) return;
  if (head.is_interim()) {
    send_interim(head);
    return;
  }
  response_begun_ = true;
  if (head.status == 101) {
    send_upgrade(head);
    return;
  }
  framing_ = choose_framing(head, end);
  // An answer that comes before its request has ended may leave bytes behind that nobody may take
  // for another request; and who is refused half-way must not believe that the connection goes on.
  // A short body of a request that was answered well is read and dropped instead.
  if (context_->is_draining || (!request_done_ && !may_drop_rest(head))) keep_alive_ = false;
  if (framing_ == Framing::until_close) keep_alive_ = false;
  WireHead wire;
  wire.date = date_now();
  switch (framing_) {
    case Framing::none:
      if (head.status != 204 &&
          (head.body == BodyKind::length || head.fields.has(HeaderId::content_length))) {
        wire.framing =
            WireFraming::content_length;  // HEAD and 304 tell the length of what they leave out
        wire.content_length = head.content_length;
      }
      break;
    case Framing::length:
      wire.framing = WireFraming::content_length;
      wire.content_length = response_left_;
      break;
    case Framing::chunked:
      wire.framing = WireFraming::chunked;
      break;
    case Framing::until_close:
      break;
  }
  if (!keep_alive_) {
    wire.connection = WireConnection::close;
  } else if (is_http10_) {
    wire.connection = WireConnection::keep_alive;
  }
  write_head(head, wire);
  if (end && phase_ != Phase::closing) finish_response();
}

bool H1Server::may_drop_rest(const Head& answer) const {
  const Head& request = inbound_->head;
  return request.body == BodyKind::length && request.content_length <= kDroppedMax &&
         !request.expects_continue && (answer.status < 400 || answer.status == 404);
}

H1Server::Framing H1Server::choose_framing(const Head& head, bool end) {
  if (is_head_request_ || head.status == 204 || head.status == 304) return Framing::none;
  if (head.body == BodyKind::length || head.body == BodyKind::none || end) {
    response_left_ = head.body == BodyKind::length ? head.content_length : 0;
    return Framing::length;
  }
  return is_http10_ ? Framing::until_close : Framing::chunked;
}

void H1Server::write_head(const Head& head, const WireHead& wire) {
  const std::span<char> out = context_->loop.scratch();
  const std::size_t size = write_response_head(head, wire, out);
  if (size == 0) {
    // Larger than anything the limits let in: our own headers in the configuration did it.
    StreamHandler* handler = std::exchange(handler_, nullptr);
    tcp_.abort();
    close();
    if (handler != nullptr) {
      handler->on_reset({EndReason::internal, Side::internal, Retry::no, "answer head too large"});
    }
    return;
  }
  tcp_.write(std::span<const char>(out.data(), size));
  sync_unsent();
  watch_writing();
}

void H1Server::send_interim(const Head& head) {
  if (is_http10_ || response_begun_) return;
  const std::span<char> out = context_->loop.scratch();
  const std::size_t size = write_response_head(head, WireHead{}, out);
  if (size != 0) tcp_.write(std::span<const char>(out.data(), size));
}

void H1Server::send_upgrade(const Head& head) {
  write_head(head, WireHead{});  // its Upgrade field brings `connection: upgrade` with it
  if (phase_ == Phase::closing) return;
  phase_ = Phase::tunnel;
  keep_alive_ = false;
  context_->loop.defer(*this);  // what the client has sent already goes into the tunnel
}

void H1Server::send_body(std::span<const char> bytes, bool end) {
  if (phase_ == Phase::closing || (response_done_ && phase_ != Phase::tunnel)) return;
  if (phase_ == Phase::tunnel) {
    if (!bytes.empty()) tcp_.write(bytes);
    sync_unsent();
    watch_writing();
    if (end && !we_ended_) {
      we_ended_ = true;
      tcp_.end_writing();
      if (peer_ended_) finish_response();
    }
    return;
  }
  switch (framing_) {
    case Framing::none:
      break;
    case Framing::length: {
      const std::size_t count =
          static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), response_left_));
      response_left_ -= count;
      if (count > 0) tcp_.write(bytes.first(count));
      break;
    }
    case Framing::chunked:
      if (!bytes.empty()) {
        char header[kChunkHeaderMax];
        tcp_.write(std::span<const char>(header, write_chunk_header(bytes.size(), header)));
        tcp_.write(bytes);
        tcp_.write(kChunkEnd);
      }
      if (end) tcp_.write(kLastChunk);
      break;
    case Framing::until_close:
      if (!bytes.empty()) tcp_.write(bytes);
      break;
  }
  sync_unsent();
  watch_writing();
  if (!end) return;
  if (framing_ == Framing::length && response_left_ > 0) {
    // Shorter than announced: the client must see that something is missing.
    handler_ = nullptr;
    tcp_.abort();
    close();
    return;
  }
  finish_response();
}

void H1Server::send_trailers(const HeaderBlock& trailers) {
  if (phase_ == Phase::closing || response_done_) return;
  if (framing_ != Framing::chunked) {
    send_body({}, true);  // there is no place for them (RFC 9110 section 6.5.1)
    return;
  }
  const std::span<char> out = context_->loop.scratch();
  const std::size_t size = write_trailers(trailers, out);
  if (size == 0) {
    send_body({}, true);
    return;
  }
  tcp_.write(std::span<const char>(out.data(), size));
  sync_unsent();
  watch_writing();
  finish_response();
}

// The handler hears nothing more; the rest happens at the end of the turn.
void H1Server::finish_response() {
  response_done_ = true;
  handler_ = nullptr;
  context_->loop.defer(*this);
}

void H1Server::reset(Error /*why*/) {
  if (phase_ == Phase::closing) return;
  handler_ = nullptr;
  if (response_begun_) {
    tcp_.abort();  // a truncated answer must not look complete
  }
  close();
}

// ---- between exchanges ----

void H1Server::on_turn_end() {
  if (phase_ == Phase::closing) return;
  if (phase_ == Phase::tunnel && !response_done_) {
    // Bytes that came behind the upgrade request.
    while (!inbound_->stash.empty() && handler_ != nullptr) {
      const std::span<const char> front = inbound_->stash.front();
      handler_->on_body(front, false);
      if (phase_ != Phase::tunnel) return;
      inbound_->stash.drain(front.size());
    }
    paused_by_stash_ = false;
    update_reading();
    if (peer_ended_) tell_tunnel_end();  // it came while the member was making up its mind
    return;
  }
  if (!response_done_) return;
  if (keep_alive_ && request_done_ && !context_->is_draining) {
    if (tcp_.unsent() > kUnsentHigh) {
      // It asks faster than it reads: on_drained() goes on.
      tcp_.set_reading(false);
      watch_writing();
      return;
    }
    next_message();
  } else if (keep_alive_ && !request_done_ && !context_->is_draining && !peer_ended_) {
    // What is left of a short body is dropped as it comes.
    progress_ = received_ + tcp_.bytes_sent();
    paused_by_handler_ = false;
    update_reading();
    arm(context_->body_ms);
  } else if (hangs_up_ || (request_done_ && inbound_->stash.empty() && !inbound_->head.upgrade)) {
    close_when_sent();
  } else {
    linger();
  }
}

void H1Server::next_message() {
  // Bytes behind an upgrade that was not granted may be of that other protocol.
  if (inbound_->head.upgrade && !inbound_->stash.empty()) {
    linger();
    return;
  }
  phase_ = Phase::idle;
  paused_by_handler_ = false;
  inbound_->head.clear();
  inbound_->arena.reset();
  if (inbound_->stash.empty()) {
    release_inbound();
    if (peer_ended_) {
      close_when_sent();
      return;
    }
    arm(context_->keep_alive_ms);
    paused_by_stash_ = false;
    update_reading();
    return;
  }
  // Pipelined: one message after the other, each when its predecessor has been answered.
  base::ChunkQueue& stash = inbound_->stash;
  while (!stash.empty() && (phase_ == Phase::idle || phase_ == Phase::receiving ||
                            (phase_ == Phase::exchange && !request_done_))) {
    const std::span<const char> front = stash.front();
    if (phase_ == Phase::idle) begin_message();
    const H1Parser::Progress progress = inbound_->parser.feed(front);
    if (phase_ == Phase::closing) return;
    stash.drain(progress.consumed);
    if (progress.result == H1Parser::Result::failed) {
      on_request_failed(inbound_->parser.error());
      return;
    }
    if (progress.result != H1Parser::Result::need_more) on_request_complete();
  }
  if (stash.empty()) {
    paused_by_stash_ = false;
    update_reading();
  }
}

void H1Server::stash(std::span<const char> bytes) {
  if (phase_ == Phase::closing || phase_ == Phase::lingering) return;
  inbound_->stash.append(bytes);
  paused_by_stash_ = true;
  update_reading();
}

// The last answer is out; what the client still sends is read and dropped for a while, because
// closing with unread bytes would reset the connection and could destroy the answer on its way.
void H1Server::linger() {
  phase_ = Phase::lingering;
  handler_ = nullptr;
  progress_ = 0;
  release_inbound();
  if (peer_ended_) {
    tcp_.finish();
    arm(context_->write_ms);
    return;
  }
  tcp_.end_writing();
  paused_by_stash_ = paused_by_handler_ = false;
  tcp_.set_reading(true);
  arm(kLingerMs);
}

void H1Server::release_inbound() {
  if (inbound_ != nullptr) context_->inbounds.destroy(std::exchange(inbound_, nullptr));
}

void H1Server::set_reading(bool on) {
  paused_by_handler_ = !on;
  update_reading();
}

void H1Server::update_reading() {
  if (phase_ == Phase::closing || peer_ended_) return;
  tcp_.set_reading(!paused_by_handler_ && !paused_by_stash_);
}

// ---- time ----

void H1Server::watch_writing() {
  if (tcp_.unsent() > net::Stream::kLowMark && !deadline_.is_armed()) {
    progress_ = received_ + tcp_.bytes_sent();
    arm(context_->write_ms);
  }
}

void H1Server::on_deadline() {
  switch (phase_) {
    case Phase::lingering:
      if (tcp_.unsent() > 0 && tcp_.bytes_sent() != response_left_) {
        response_left_ = tcp_.bytes_sent();
        arm(context_->write_ms);
        return;
      }
      close();
      return;
    case Phase::idle:
      close_when_sent();
      return;
    case Phase::receiving:
      refuse(kClientTimeout);
      return;
    case Phase::tunnel:
    case Phase::exchange:
      break;
    case Phase::closing:
      return;
  }
  const bool write_blocked = tcp_.unsent() > 0;
  const bool waits_for_body = !request_done_ && !paused_by_handler_;
  if (!write_blocked && !waits_for_body) {
    if (!request_done_) arm(context_->body_ms);
    return;
  }
  const std::uint64_t progress = received_ + tcp_.bytes_sent();
  if (progress != progress_) {
    progress_ = progress;
    arm(write_blocked ? context_->write_ms : context_->body_ms);
    return;
  }
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (phase_ == Phase::exchange && !response_begun_) {
    if (handler != nullptr) handler->on_reset(kClientTimeout);
    if (phase_ == Phase::exchange) refuse(kClientTimeout);
    return;
  }
  tcp_.abort();
  close();
  if (handler != nullptr) handler->on_reset(kClientTimeout);
}

void H1Server::on_closed() {
  release_inbound();
  context_->owner.on_server_gone(*this);
}

}  // namespace portunus::http
