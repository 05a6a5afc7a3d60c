// H1Server: the commands of the exchange, which become the answer's bytes.
#include <algorithm>

#include "http/date.h"
#include "http/h1_server.h"

namespace portunus::http {
namespace {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

// The rest of a body that is read and dropped to keep the connection, bytes.
constexpr std::uint64_t kDroppedMax = std::uint64_t{64} * 1024;

}  // namespace

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
  if (context_->is_draining || context_->is_crowded || (!request_done_ && !may_drop_rest(head)))
    keep_alive_ = false;
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
    tcp_->abort();
    close();
    if (handler != nullptr) {
      handler->on_reset({EndReason::internal, Side::internal, Retry::no, "answer head too large"});
    }
    return;
  }
  tcp_->write(std::span<const char>(out.data(), size));
  sync_unsent();
  watch_writing();
}

void H1Server::send_interim(const Head& head) {
  if (is_http10_ || response_begun_) return;
  const std::span<char> out = context_->loop.scratch();
  const std::size_t size = write_response_head(head, WireHead{}, out);
  if (size != 0) tcp_->write(std::span<const char>(out.data(), size));
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
    if (!bytes.empty()) tcp_->write(bytes);
    sync_unsent();
    watch_writing();
    if (end && !we_ended_) {
      we_ended_ = true;
      tcp_->end_writing();
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
      if (count > 0) tcp_->write(bytes.first(count));
      break;
    }
    case Framing::chunked:
      if (!bytes.empty()) {
        char header[kChunkHeaderMax];
        tcp_->write(std::span<const char>(header, write_chunk_header(bytes.size(), header)));
        tcp_->write(bytes);
        tcp_->write(kChunkEnd);
      }
      if (end) tcp_->write(kLastChunk);
      break;
    case Framing::until_close:
      if (!bytes.empty()) tcp_->write(bytes);
      break;
  }
  sync_unsent();
  watch_writing();
  if (!end) return;
  if (framing_ == Framing::length && response_left_ > 0) {
    cut_response();  // shorter than announced
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
  tcp_->write(std::span<const char>(out.data(), size));
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
  if (response_begun_) {
    cut_response();
  } else {
    close();
  }
}

// It must not look complete. Its framing tells, and then what was sent before stays the client's: the
// answers of earlier requests too. Only one that lasts until the close needs a reset.
void H1Server::cut_response() {
  if (framing_ == Framing::until_close || phase_ == Phase::tunnel) {
    tcp_->abort();
    close();
    return;
  }
  keep_alive_ = false;
  hangs_up_ = true;
  finish_response();
}

}  // namespace portunus::http
