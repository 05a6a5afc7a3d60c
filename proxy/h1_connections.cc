#include "proxy/h1_connections.h"

namespace portunus::proxy {

using http::H1Client;

http::ClientStream* H1Connections::lend(LeaseWish wish) {
  if (wish.needs_fresh) return nullptr;
  while (H1Client* client = idle_.pop_front()) {
    if (wish.is_repeatable || !client->looks_stale()) return client;
    client->close();
  }
  return nullptr;
}

http::ClientStream& H1Connections::dial(const Dialling& how, PoolWaiter& waiter) {
  owner_->on_opening();
  H1Client* client = slab_->make(*context_, *this);
  client->set_tag(&waiter);
  if (!how.first.empty()) {
    client->put_first(how.first);
    client->announce_close();
  }
  if (how.tls->client == nullptr) {
    client->connect(*how.address, how.times.connect_ms);
  } else {
    client->connect_tls(*how.address, *how.tls, how.resumption, how.times);
  }
  return *client;
}

void H1Connections::take_back(http::ClientStream& stream, const Keeping& keeping) {
  auto& client = static_cast<H1Client&>(stream);
  client.set_tag(nullptr);
  const bool keeps = keeping.is_wanted && keeping.has_place && client.was_made_by(keeping.tls);
  if (client.end_exchange(keeping.idle_ms) && keeps) {
    idle_.push_front(client);
  } else if (client.close_when_sent()) {
    leaving_.push_back(client);
  }
}

void H1Connections::close_idle() {
  while (H1Client* client = idle_.pop_front())
    client->close();
}

bool H1Connections::close_an_idle_one() {
  H1Client* client = idle_.pop_back();
  if (client == nullptr) return false;
  client->close();
  return true;
}

void H1Connections::close_all() {
  close_idle();
  while (H1Client* client = leaving_.pop_front())
    client->close();
}

void H1Connections::on_client_connected(H1Client& client, base::Error failure) {
  auto* waiter = static_cast<PoolWaiter*>(client.tag());
  client.set_tag(nullptr);
  if (failure.is_error()) owner_->on_dial_failed(failure);
  if (failure.is_error() || waiter == nullptr) client.close();
  if (waiter != nullptr) owner_->on_dialled(*waiter, failure);
}

void H1Connections::on_client_stale(H1Client& client) {
  if (client.base::ListHook<H1Client>::is_linked()) client.base::ListHook<H1Client>::unlink();
  client.close();
}

void H1Connections::on_client_gone(H1Client& client) {
  slab_->destroy(&client);
  owner_->on_gone();
}

}  // namespace portunus::proxy
