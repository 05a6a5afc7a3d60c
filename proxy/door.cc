#include "proxy/door.h"

#include <utility>

namespace portunus::proxy {

using base::EndReason;
using base::Error;
using base::Retry;
using base::Side;

namespace {

constexpr int kWaitingMax = 4096;  // more than a kernel's queue holds

}  // namespace

Door::Door(ExchangeContext& exchanges,
           base::Slab<http::H1Server>& servers,
           base::Slab<http::Inbound>& inbounds,
           DoorOwner& owner,
           conf::Listener config)
    : exchanges_(&exchanges),
      servers_(&servers),
      owner_(&owner),
      config_(std::move(config)),
      context_{exchanges.loop, inbounds, *this, *this, {}},
      listener_(exchanges.loop, *this, 0) {}

void Door::configure(const Generation& generation, std::size_t index) {
  const conf::Model& model = *generation.model;
  share_ = generation.listener_shares[index];
  index_ = index;
  const std::uint32_t id = generation.listener_ids[index];
  if (id != id_ && client_count_ > 0) {
    exchanges_->metrics.connections_renamed(id_, id, client_count_);
  }
  id_ = id;
  connections_max_ = model.listeners[index].max_connections;
  context_.limits.header_bytes = static_cast<std::uint32_t>(model.limits.header_bytes);
  context_.limits.header_count = model.limits.header_count;
  context_.limits.uri_bytes = static_cast<std::uint32_t>(model.limits.uri_bytes);
  context_.requests_max = model.limits.requests_per_connection;
  context_.headers_ms = static_cast<std::uint64_t>(model.timeouts.headers.count());
  context_.body_ms = static_cast<std::uint64_t>(model.timeouts.body.count());
  context_.write_ms = static_cast<std::uint64_t>(model.timeouts.write.count());
  context_.keep_alive_ms = static_cast<std::uint64_t>(model.timeouts.keep_alive.count());
  resume();
}

bool Door::open(int descriptor) {
  is_open_ = true;
  return listener_.start(descriptor);
}

void Door::on_connection(net::Listener& listener) {
  // Nobody is turned away: the connection waits in the kernel until there is room. Counted all the same.
  if (!owner_->has_room()) {
    count_waiting(ConnectionRejection::descriptors);
    return;
  }
  if (!take_share()) {
    count_waiting(ConnectionRejection::limit);
    return;
  }
  is_one_waiting_ = false;
  listener.mark_taken();
  take(-1);
}

void Door::take(int descriptor) {
  http::H1Server* server = servers_->make(context_);
  clients_.push_back(*server);
  ++client_count_;
  owner_->on_client_opened();
  exchanges_->metrics.connection_opened(id_);
  static_cast<void>(
      server->accept(listener_, descriptor));  // when it fails, on_server_gone() follows
}

// Those that the kernel has let in already would be reset with the socket, though they came in time.
void Door::take_waiting() {
  listener_.resume();
  for (int taken = 0; taken < kWaitingMax && owner_->has_room() && take_share(); ++taken) {
    const int descriptor = listener_.take_waiting();
    if (descriptor < 0) {
      share_->open.fetch_sub(1);
      return;
    }
    take(descriptor);
  }
}

// Once for the connection at the head of the kernel's queue, however often it is looked at.
void Door::count_waiting(ConnectionRejection reason) {
  if (std::exchange(is_one_waiting_, true)) return;
  exchanges_->metrics.connection_rejected(id_, reason);
}

// Counts one more connection of the listener, over all threads, unless it has as many as it may.
bool Door::take_share() {
  if (connections_max_ == 0) {
    share_->open.fetch_add(1);
    return true;
  }
  for (int look = 0; look < 2; ++look) {
    if (share_->open.fetch_add(1) < connections_max_) return true;
    share_->open.fetch_sub(1);
    // Say that we wait, then look once more: one may have closed in between.
    share_->is_awaited.store(true);
  }
  return false;
}

void Door::resume() {
  if (is_open_ && !context_.is_draining) listener_.resume();
}

http::StreamHandler* Door::on_stream(http::Stream& stream, const net::Address& peer) {
  LocalGeneration* generation = last_ ? last_.get() : exchanges_->current;
  return exchanges_->exchanges.make(*exchanges_, *generation, stream, peer,
                                    ListenerKey{index_, id_});
}

void Door::on_refused(const net::Address& peer,
                      const http::Head& head,
                      Error why,
                      std::uint16_t status,
                      std::string_view request_id) {
  ExchangeRecord record;
  char text[net::Address::kTextMax];
  record.listener = id_;
  record.request = head.method_text.empty() ? nullptr : &head;
  record.peer = peer;
  record.client_ip = {text, peer.write_ip(text)};
  record.status = status;
  record.request_id = request_id;
  record.end_reason = why.reason;
  record.started_ns = record.ended_ns = exchanges_->loop.now_ns();
  record.generation = exchanges_->current->shared->number;
  exchanges_->metrics.record(record);
  if (exchanges_->access_log.is_on()) {
    exchanges_->access_log.write(record, exchanges_->current->shared->log_names);
  }
}

void Door::on_server_gone(http::H1Server& server) {
  exchanges_->metrics.connection_closed(id_);
  servers_->destroy(&server);
  --client_count_;
  share_->open.fetch_sub(1);
  if (share_->is_awaited.exchange(false)) owner_->on_share_freed();
  owner_->on_client_closed();
  check_empty();
}

bool Door::close_an_idle_client() {
  constexpr int kLook = 32;
  http::H1Server* server = clients_.front();
  for (int i = 0; i < kLook && server != nullptr; ++i, server = clients_.next(*server)) {
    if (!server->is_kept_alive()) continue;
    server->shut_down({EndReason::client_timeout, Side::internal, Retry::no, "made room"});
    return true;
  }
  return false;
}

void Door::drain(LocalGeneration* last) {
  if (context_.is_draining) return;
  if (is_open_) take_waiting();
  context_.is_draining = true;
  if (last != nullptr) last_ = base::Pinned<LocalGeneration>(last);
  if (is_open_) listener_.close();
  http::H1Server* server = clients_.front();
  while (server != nullptr) {
    http::H1Server* next = clients_.next(*server);
    server->drain();
    server = next;
  }
  check_empty();
}

void Door::shut_down() {
  drain(nullptr);
  http::H1Server* server = clients_.front();
  while (server != nullptr) {
    http::H1Server* next = clients_.next(*server);
    server->shut_down({EndReason::shutdown, Side::internal, Retry::no, "the drain has ended"});
    server = next;
  }
}

void Door::on_listener_closed(net::Listener& /*listener*/) {
  is_open_ = false;
  check_empty();
}

void Door::check_empty() {
  if (context_.is_draining && !is_open_ && client_count_ == 0) owner_->on_door_empty(*this);
}

}  // namespace portunus::proxy
