// H1Server between two exchanges, and what happens when time runs out.
#include <algorithm>
#include <utility>

#include "http/h1_server.h"

namespace portunus::http {
namespace {

// How long a client may still send after our last answer before we hang up on it.
constexpr std::uint64_t kLingerMs = 2'000;

}  // namespace

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
  // Who has been told that the connection stays may be asking again already, in a drain too.
  if (keep_alive_ && request_done_) {
    if (tcp_->unsent() > kUnsentHigh) {
      // It asks faster than it reads: on_drained() goes on.
      tcp_->set_reading(false);
      watch_writing();
      return;
    }
    next_message();
  } else if (keep_alive_ && !peer_ended_) {
    // What is left of a short body is dropped as it comes.
    progress_ = received_ + tcp_->bytes_sent();
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
    if (peer_ended_ || context_->is_crowded) {
      close_when_sent();
      return;
    }
    arm(context_->is_draining ? kRecentMs : context_->keep_alive_ms);
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
    tcp_->finish();
    arm(context_->write_ms);
    return;
  }
  tcp_->end_writing();
  paused_by_stash_ = paused_by_handler_ = false;
  tcp_->set_reading(true);
  arm(kLingerMs);
}

void H1Server::release_inbound() {
  if (inbound_ != nullptr) context_->inbounds.destroy(std::exchange(inbound_, nullptr));
}

void H1Server::set_reading(bool on) {
  paused_by_handler_ = !on;
  if (!on) is_rated_ = false;
  update_reading();
}

void H1Server::update_reading() {
  if (phase_ == Phase::closing || peer_ended_) return;
  tcp_->set_reading(!paused_by_handler_ && !paused_by_stash_);
}

// ---- time ----

void H1Server::watch_writing() {
  if (tcp_->unsent() > net::Stream::kLowMark && !deadline_.is_armed()) {
    progress_ = received_ + tcp_->bytes_sent();
    arm(context_->write_ms);
  }
}

// Who has an answer already may be in a conversation, with pauses to think. Answers of before that the
// client leaves unread excuse nothing.
bool H1Server::is_rate_asked_for() const {
  return phase_ == Phase::exchange && !request_done_ && !response_begun_;
}

void H1Server::on_deadline() {
  switch (phase_) {
    case Phase::lingering:
      if (tcp_->unsent() > 0 && tcp_->bytes_sent() != response_left_) {
        response_left_ = tcp_->bytes_sent();
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
  const bool write_blocked = tcp_->unsent() > 0;
  const bool waits_for_body = !request_done_ && !paused_by_handler_;
  if (!write_blocked && !waits_for_body) {
    if (!request_done_) arm(context_->body_ms);
    return;
  }
  const std::uint64_t progress = received_ + tcp_->bytes_sent();
  const std::uint64_t least = is_rated_ && is_rate_asked_for() ? context_->body_least : 0;
  if (progress - progress_ >= std::max<std::uint64_t>(least, 1)) {
    progress_ = progress;
    is_rated_ = is_rate_asked_for();
    arm(write_blocked && !is_rated_ ? context_->write_ms : context_->body_ms);
    return;
  }
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (phase_ == Phase::exchange && !response_begun_) {
    if (handler != nullptr) handler->on_reset(kClientTimeout);
    if (phase_ == Phase::exchange) refuse(kClientTimeout);
    return;
  }
  tcp_->abort();
  close();
  if (handler != nullptr) handler->on_reset(kClientTimeout);
}

}  // namespace portunus::http
