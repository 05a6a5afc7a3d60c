#include "proxy/door.h"

#include <unistd.h>

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
           base::Slab<http::ServerConnection>& servers,
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
  context_.has_h1 = model.listeners[index].offers_h1;
  context_.has_h2 = model.listeners[index].offers_h2;
  show(generation.tls);
  const net::CidrSet& proxies = generation.proxies[index];
  context_.proxies = proxies.empty() ? nullptr : &proxies;
  context_.limits.header_bytes = static_cast<std::uint32_t>(model.limits.header_bytes);
  context_.limits.header_count = model.limits.header_count;
  context_.limits.uri_bytes = static_cast<std::uint32_t>(model.limits.uri_bytes);
  context_.requests_max = model.limits.requests_per_connection;
  context_.headers_ms = static_cast<std::uint64_t>(model.timeouts.headers.count());
  context_.body_ms = static_cast<std::uint64_t>(model.timeouts.body.count());
  context_.write_ms = static_cast<std::uint64_t>(model.timeouts.write.count());
  context_.keep_alive_ms = static_cast<std::uint64_t>(model.timeouts.keep_alive.count());
  context_.body_least = model.timeouts.min_rate * context_.body_ms / 1000;
  clients_known_ = generation.clients.get();
  client_connections_max_ = model.limits.client_connections;
  ipv6_prefix_ = model.limits.client_ipv6_prefix;
  trusted_ = &generation.trusted;
  resume();
}

void Door::show(SharedTlsSetup tls) {
  tls_ = std::move(tls);
  context_.tls = tls_->contexts[index_].get();
}

void Door::tell_h2_counts() {
  if (context_.h2 == nullptr || context_.h2_counts == http::H2Counts{}) return;
  exchanges_->metrics.h2_counted(id_, std::exchange(context_.h2_counts, {}));
}

bool Door::open(int descriptor) {
  is_open_ = true;
  return listener_.start(descriptor);
}

void Door::on_connection(net::Listener& listener) {
  // Nobody is turned away: the connection waits in the kernel until there is room. Counted all the same.
  if (!owner_->accepts()) {
    waits_for_room_ = false;
    count_waiting(ConnectionRejection::overload);
    return;
  }
  waits_for_room_ = !owner_->has_room();
  if (waits_for_room_) {
    count_waiting(ConnectionRejection::descriptors);
    return;
  }
  if (!take_share()) {
    count_waiting(ConnectionRejection::limit);
    return;
  }
  is_one_waiting_ = false;
  net::Address peer;
  const int descriptor = listener.take(peer);
  take(descriptor, peer);
}

void Door::take(int descriptor, const net::Address& peer) {
  base::CountTable::Entry* counted = nullptr;
  if (descriptor >= 0 && !count_client(peer, counted)) {
    // Before its client can see it.
    exchanges_->metrics.connection_rejected(id_, ConnectionRejection::client_limit);
    give_share();
    ::close(descriptor);
    return;
  }
  http::ServerConnection* server = servers_->make(context_);
  server->counted = counted;
  clients_.push_back(*server);
  ++client_count_;
  owner_->on_client_opened();
  exchanges_->metrics.connection_opened(id_);
  server->accept(descriptor, peer, listener_.index());
}

// Who stands in front of many clients may have many connections.
bool Door::count_client(const net::Address& peer, base::CountTable::Entry*& counted) const {
  if (client_connections_max_ == 0) return true;
  if (trusted_->contains(peer)) return true;
  if (context_.proxies != nullptr && context_.proxies->contains(peer)) return true;
  const auto verdict = clients_known_->connections.take(
      hash_client(clients_known_->hash, peer, ipv6_prefix_), client_connections_max_);
  counted = verdict.entry;
  return verdict.is_within;
}

// Those that the kernel has let in already would be reset with the socket, though they came in time.
// max_connections does not hold for this last look.
void Door::take_waiting() {
  for (int taken = 0; taken < kWaitingMax && owner_->has_room(); ++taken) {
    net::Address peer;
    const int descriptor = listener_.take(peer);
    if (descriptor < 0) return;
    share_->open.fetch_add(1);
    take(descriptor, peer);
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

void Door::give_share() {
  share_->open.fetch_sub(1);
  if (share_->is_awaited.exchange(false)) owner_->on_share_freed();
}

void Door::resume() {
  if (is_open_ && !context_.is_draining) listener_.resume();
}

http::StreamHandler* Door::on_stream(http::Stream& stream, const http::ClientInfo& client) {
  LocalGeneration* generation = last_ ? last_.get() : exchanges_->current;
  return exchanges_->exchanges.make(*exchanges_, *generation, stream, client,
                                    ListenerKey{index_, id_});
}

void Door::on_refused(const http::ClientInfo& client,
                      const http::Head& head,
                      Error why,
                      std::uint16_t status,
                      std::string_view request_id) {
  ExchangeRecord record;
  char text[net::Address::kTextMax];
  record.listener = id_;
  record.request = head.method_text.empty() ? nullptr : &head;
  record.peer = client.peer;
  record.source = client.source;
  record.tls = client.tls;
  if (client.tls != nullptr) record.scheme = "https";
  record.client_ip = {text, client.source.write_ip(text)};
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

void Door::on_connection_gone(http::ServerConnection& server) {
  exchanges_->metrics.connection_closed(id_);
  if (server.counted != nullptr) base::CountTable::give(*server.counted);
  servers_->destroy(&server);
  --client_count_;
  give_share();
  owner_->on_client_closed();
  check_empty();
}

void Door::on_handshake(http::ServerConnection& server,
                        std::string_view failure,
                        std::uint64_t duration_ns) {
  const net::TlsSession* const tls = server.stream().tls();
  const bool is_good = failure.empty();
  const std::string_view name = tls == nullptr ? std::string_view{} : tls->server_name();
  HandshakeRecord record;
  // Who fails before it has named anybody is nobody's, also where a site is for all hosts.
  if (is_good || !name.empty()) {
    const LocalGeneration* const generation = last_ ? last_.get() : exchanges_->current;
    record.site_id = generation->shared->routes.site_id(index_, name);
  }
  record.result = handshake_of(failure);
  if (is_good && tls != nullptr) {
    record.version = tls->version();
    record.is_resumed = tls->is_resumed();
  }
  record.duration_ns = duration_ns;
  exchanges_->metrics.handshake_ended(id_, record);
}

void Door::on_no_proxy_header(http::ServerConnection& /*server*/, std::string_view why) {
  exchanges_->metrics.connection_rejected(id_, rejection_of(why));
}

bool Door::close_an_idle_client() {
  constexpr int kLook = 32;
  http::ServerConnection* server = clients_.front();
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
  http::ServerConnection* server = clients_.front();
  while (server != nullptr) {
    http::ServerConnection* next = clients_.next(*server);
    server->drain();
    server = next;
  }
  check_empty();
}

void Door::shut_down() {
  drain(nullptr);
  http::ServerConnection* server = clients_.front();
  while (server != nullptr) {
    http::ServerConnection* next = clients_.next(*server);
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
