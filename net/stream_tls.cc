// Stream: what is different when it speaks TLS.
#include <algorithm>

#include "net/stream.h"

namespace portunus::net {
namespace {

// So much is sealed before the socket gets it: what has just been written is still in the cache, and
// a socket that is full is noticed before all of a long slice has been encrypted for it.
constexpr std::size_t kSealedAtOnce = std::size_t{64} * 1024;

base::Error tls_failure(const TlsSession& tls, const char* detail) {
  using base::EndReason;
  if (tls.role() == TlsSession::Role::client) {
    return {EndReason::upstream_tls, base::Side::upstream, base::Retry::unsent, detail};
  }
  return {EndReason::client_closed, base::Side::client, base::Retry::no, detail};
}

}  // namespace

bool Stream::start_tls(ssl_ctx_st* context, TlsSession::Role role) {
  tls_ = TlsSession::make(context, role, loop_->chunks(), unsent_);
  return tls_ != nullptr;
}

// Of a client. Making its keys takes time, too: it counts as a step of a handshake.
void Stream::greet() {
  greets_later_ = !loop_->may_shake_hands();
  if (greets_later_) {
    loop_->flush_next(*this);
  } else {
    static_cast<void>(shake_hands());
  }
}

void Stream::take_sealed(std::span<const char> bytes) {
  static_cast<void>(loop_->may_shake_hands());  // it is done, and others wait the longer
  read_sealed(bytes);
}

void Stream::read_sealed(std::span<const char> bytes) {
  tls_->feed(bytes);
  if (!tls_->is_open() && (!shake_hands() || closing_)) return;
  const std::span<char> plain = loop_->plain_buffer();
  std::size_t size = 0;
  const TlsSession::Step step = tls_->open(plain, size);
  if (!unsent_.empty() && blocked_ == nullptr) loop_->flush_later(*this);  // an alert, a new key
  if (size > 0) owner_->on_bytes(plain.first(size));
  if (closing_ || step == TlsSession::Step::more) return;
  reading_ = false;
  uv_read_stop(stream());
  owner_->on_end(step == TlsSession::Step::ended ? base::Error{}
                                                 : tls_failure(*tls_, tls_->failure()));
}

// True: it is open now, and its owner has been told.
bool Stream::shake_hands() {
  const TlsSession::Step step = tls_->shake_hands();
  if (!unsent_.empty() && blocked_ == nullptr) loop_->flush_later(*this);
  if (step == TlsSession::Step::more) return false;
  if (step != TlsSession::Step::done) {
    reading_ = false;
    uv_read_stop(stream());
    tls_->plain().clear();
    // What is wrong with a member it learns now: its connection is closed at once.
    if (tls_->role() == TlsSession::Role::client && !unsent_.empty() && blocked_ == nullptr)
      write_through({});
    owner_->on_connected(tls_failure(*tls_, tls_->failure()));
    return false;
  }
  if (tls_->unsealed() > 0 && blocked_ == nullptr) loop_->flush_later(*this);
  owner_->on_connected({});
  return true;
}

// The socket's end without the peer's word for it. Of a member it may be somebody else's doing, and
// what came looks whole without being so; of clients it is a habit, and requests say themselves
// where they end.
void Stream::end_sealed(base::Error why) {
  if (!tls_->is_open()) {
    owner_->on_connected(tls_failure(*tls_, "closed in the TLS handshake"));
  } else if (!why.is_error() && tls_->role() == TlsSession::Role::client) {
    owner_->on_end({base::EndReason::upstream_reset, base::Side::upstream, base::Retry::idempotent,
                    "closed without a TLS close_notify"});
  } else {
    owner_->on_end(why);
  }
}

void Stream::write_sealed(std::span<const char> bytes) {
  base::ChunkQueue& plain = tls_->plain();
  if (blocked_ != nullptr || !tls_->is_open()) {
    plain.append(bytes);
    return;
  }
  if (bytes.size() <= kGatherMax) {
    plain.append(bytes);
    if (plain.size() < kLowMark) {
      loop_->flush_later(*this);
      return;
    }
    bytes = {};
  }
  seal_and_send(bytes);
}

// Seals the queue and then `slice`, as long as the socket takes it; keeps the rest unsealed.
void Stream::seal_and_send(std::span<const char> slice) {
  base::ChunkQueue& plain = tls_->plain();
  if (!tls_->is_open()) {  // the handshake's own bytes
    write_through({});
    return;
  }
  do {
    while (!plain.empty() && unsent_.size() < kSealedAtOnce) {
      const std::span<const char> front = plain.front();
      if (!tls_->seal(front)) break;
      plain.drain(front.size());
    }
    if (plain.empty() && unsent_.size() < kSealedAtOnce) {
      const std::span<const char> part = slice.first(std::min(slice.size(), kSealedAtOnce));
      if (tls_->seal(part)) slice = slice.subspan(part.size());
    }
    if (tls_->is_broken()) {
      fail_writing();
      return;
    }
    write_through({});
  } while (blocked_ == nullptr && !failed_ && !closing_ && (!plain.empty() || !slice.empty()));
  if (!slice.empty() && !failed_ && !closing_) plain.append(slice);
}

}  // namespace portunus::net
