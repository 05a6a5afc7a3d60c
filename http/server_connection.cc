#include "http/server_connection.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "http/h2_shared.h"

namespace portunus::http {

ServerConnection::Opening::Opening(ServerConnection& connection)
    : deadline(&connection,
               [](void* self) {
                 auto* late = static_cast<ServerConnection*>(self);
                 late->end_opening("too slow");
                 late->tcp_.close();
               }),
      began_ns(connection.context_->loop.now_ns()) {}

ServerConnection::ServerConnection(ServerContext& context)
    : context_(&context), tcp_(context.loop, *this) {}

ServerConnection::~ServerConnection() {
  if (h2_ != nullptr) context_->h2->sessions.destroy(h2_);
}

void ServerConnection::accept(int descriptor, const net::Address& peer, std::size_t listener) {
  listener_ = static_cast<std::uint16_t>(listener);
  client_.peer = client_.source = peer;
  if (!tcp_.adopt(descriptor)) {
    tcp_.close();
    return;
  }
  client_.descriptor = descriptor;
  if (context_->proxies == nullptr || !context_->proxies->contains(peer)) {
    begin_protocol({});
    return;
  }
  begin_opening();
  opening_->header.emplace(context_->loop.chunks());
  tcp_.set_reading(true);
}

void ServerConnection::begin_opening() {
  opening_ = std::make_unique<Opening>(*this);
  context_->loop.timers().arm(opening_->deadline, context_->headers_ms);
}

// `first`: what has come already, of whichever protocol it is.
void ServerConnection::begin_protocol(std::span<const char> first) {
  if (context_->tls == nullptr) {
    opening_.reset();
    begin_session(first);
    return;
  }
  if (!tcp_.start_tls(context_->tls, net::TlsSession::Role::server)) {
    opening_.reset();
    tcp_.close();
    return;
  }
  if (opening_ == nullptr) begin_opening();
  tcp_.set_reading(true);
  if (!first.empty()) tcp_.take_sealed(first);
}

bool ServerConnection::take_preface(std::span<const char> bytes, std::span<const char>& held) {
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  if (context_->h2 == nullptr || !context_->has_h2 || client_.tls != nullptr) return false;
  const std::string_view before = kPreface.substr(0, preface_);
  const std::size_t count = std::min(bytes.size(), kPreface.size() - preface_);
  if (std::string_view(bytes.data(), count) != kPreface.substr(preface_, count)) {
    held = before;
    preface_ = 0;
    return false;
  }
  preface_ += static_cast<std::uint8_t>(count);
  if (preface_ < kPreface.size()) return true;
  if (h1_) h1_->retire();
  h2_ = context_->h2->sessions.make(*context_, *this);
  session_ = h2_;
  h2_->start(before);
  h2_->take(bytes);
  return true;
}

bool ServerConnection::speaks_h2() const {
  if (context_->h2 == nullptr) return false;
  return !context_->has_h1 || (client_.tls != nullptr && client_.tls->protocol() == "h2");
}

void ServerConnection::begin_session(std::span<const char> first) {
  client_.tls = tcp_.tls();
  if (speaks_h2()) {
    h2_ = context_->h2->sessions.make(*context_, *this);
    session_ = h2_;
  } else {
    session_ = &h1_.emplace(*context_, *this);
  }
  session_->start(first);
  if (context_->is_draining) session_->drain();
}

void ServerConnection::end_opening(std::string_view failure) {
  const std::unique_ptr<Opening> opening = std::move(opening_);
  if (opening->header) {
    context_->owner.on_no_proxy_header(*this, failure);
    return;
  }
  context_->owner.on_handshake(*this, failure, context_->loop.now_ns() - opening->began_ns);
}

void ServerConnection::on_connected(base::Error failure) {
  if (!failure.is_error()) {
    end_opening({});
    begin_session({});
  } else {
    end_opening(failure.detail);
    tcp_.finish();  // an alert is to leave
  }
}

void ServerConnection::drain() {
  if (session_ != nullptr) session_->drain();
}

void ServerConnection::shut_down(base::Error why) {
  if (session_ != nullptr) {
    session_->shut_down(why);
    return;
  }
  if (opening_ != nullptr) end_opening("closed by us");
  tcp_.close();
}

void ServerConnection::on_session_closed() {
  context_->owner.on_connection_gone(*this);
}

// Without a session nobody reads but TLS, and who waits for the header in front of it.
void ServerConnection::on_bytes(std::span<const char> bytes) {
  if (opening_ == nullptr) return;
  std::optional<net::ProxyHeaderReader>& awaited = opening_->header;
  if (!awaited) return;
  std::size_t taken = 0;
  const net::ProxyHeader header = awaited->feed(bytes, taken);
  switch (header.step) {
    case net::ProxyHeader::Step::more:
      return;
    case net::ProxyHeader::Step::failed:
      end_opening(header.failure);
      tcp_.close();
      return;
    case net::ProxyHeader::Step::done:
      break;
  }
  if (header.source.is_set()) {
    client_.source = header.source;
    client_.local = header.destination;
  }
  awaited.reset();
  begin_protocol(bytes.subspan(taken));
}

void ServerConnection::on_end(base::Error /*why*/) {
  // Who only looks whether somebody listens has done nothing wrong.
  if (opening_ != nullptr) {
    const std::optional<net::ProxyHeaderReader>& awaited = opening_->header;
    if (awaited && awaited->has_begun()) end_opening("the header has no end");
  }
  opening_.reset();
  tcp_.close();
}

void ServerConnection::on_closed() {
  on_session_closed();
}

}  // namespace portunus::http
