#include "http/h1_server.h"

#include <algorithm>

#include "http/reply.h"
#include "http/request_id.h"
#include "http/server_connection.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;

// What a client may still send after our last answer before we hang up on it.
constexpr std::uint64_t kLingerBytes = std::uint64_t{256} * 1024;
// How long a connection that was accepted just before the drain may take to send its request.
constexpr std::uint64_t kFirstByteInDrainMs = 1'000;

}  // namespace

H1Server::H1Server(ServerContext& context, ServerConnection& connection)
    : context_(&context),
      connection_(&connection),
      tcp_(&connection.stream()),
      deadline_(this, [](void* self) { static_cast<H1Server*>(self)->on_deadline(); }) {}

void H1Server::start(std::span<const char> first) {
  tcp_->set_owner(*this);
  arm(context_->headers_ms);
  tcp_->set_reading(true);
  if (!first.empty()) on_bytes(first);
}

void H1Server::drain() {
  if (phase_ != Phase::idle) return;
  if (requests_ == 0) {
    arm(kFirstByteInDrainMs);
  } else if ((deadline_.is_armed() &&
              context_->loop.timers().left_ms(deadline_) + kRecentMs > context_->keep_alive_ms) ||
             tcp_->has_input()) {
    arm(kRecentMs);
  } else {
    close_when_sent();
  }
}

void H1Server::shut_down(Error why) {
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (phase_ == Phase::exchange && !response_begun_ && tcp_->unsent() == 0) {
    // It can still be told that nothing will come.
    if (handler != nullptr) handler->on_reset(why);
    if (phase_ == Phase::exchange) refuse(why);
    return;
  }
  if (response_begun_ && !response_done_) tcp_->abort();
  close();
  if (handler != nullptr) handler->on_reset(why);
}

void H1Server::close() {
  if (phase_ == Phase::closing) return;
  phase_ = Phase::closing;
  handler_ = nullptr;
  deadline_.disarm();
  tcp_->close();
}

// Nothing more is said or heard, but what has been said is the client's, however slowly it reads.
void H1Server::close_when_sent() {
  if (tcp_->unsent() == 0) {
    close();
    return;
  }
  handler_ = nullptr;
  release_inbound();
  phase_ = Phase::lingering;
  progress_ = 0;
  response_left_ = tcp_->bytes_sent();
  arm(context_->write_ms);
  tcp_->finish();
}

// ---- bytes from the client ----

void H1Server::on_bytes(std::span<const char> bytes) {
  if (phase_ == Phase::idle && requests_ == 0) {
    std::span<const char> held;
    if (connection_->take_preface(bytes, held)) return;
    if (!held.empty()) feed(held);
  }
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
    progress_ = received_ + tcp_->bytes_sent();
    is_rated_ = false;
    arm(context_->body_ms);
  }
  handler_ = context_->acceptor.on_stream(*this, connection_->client());
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
    tcp_->abort();
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
  if (is_new) context_->acceptor.on_refused(connection_->client(), *request, why, reply.status, id);
}

void H1Server::on_end(Error why) {
  peer_ended_ = true;
  switch (phase_) {
    case Phase::receiving:
      context_->acceptor.on_refused(connection_->client(), inbound_->head, kClientClosed, 0, {});
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

void H1Server::on_closed() {
  release_inbound();
  connection_->on_session_closed();  // ends this object
}

}  // namespace portunus::http
