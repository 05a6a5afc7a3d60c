#include "proxy/h2_connections.h"

#include <algorithm>

#include "http/h2_shared.h"

namespace portunus::proxy {

using http::H2Client;
using http::H2ClientStream;

http::ClientStream* H2Connections::lend(LeaseWish wish) {
  if (wish.needs_fresh) return nullptr;
  H2Client* next = nullptr;
  for (H2Client* client = connections_.front(); client != nullptr; client = next) {
    next = connections_.next(*client);
    if (client->is_connecting() || !client->has_room()) continue;
    if (!wish.is_repeatable && client->looks_stale()) {
      client->leave();
      continue;
    }
    return &client->lend();
  }
  return nullptr;
}

http::ClientStream& H2Connections::dial(const Dialling& how, PoolWaiter& waiter) {
  H2Client* client = connections_.front();
  while (client != nullptr && !(client->is_connecting() && client->has_room()))
    client = connections_.next(*client);
  if (client == nullptr) client = &open(how);
  H2ClientStream& stream = client->lend();
  stream.set_tag(&waiter);
  return stream;
}

H2Client& H2Connections::open(const Dialling& how) {
  owner_->on_opening();
  H2Client* client = context_->h2->clients.make(*context_, *this, streams_expected_);
  connections_.push_back(*client);
  if (how.tls->client == nullptr) {
    client->connect(*how.address, how.times.connect_ms);
  } else {
    client->connect_tls(*how.address, *how.tls, how.resumption, how.times);
  }
  return *client;
}

void H2Connections::take_back(http::ClientStream& stream, const Keeping& keeping) {
  auto& given = static_cast<H2ClientStream&>(stream);
  H2Client* const client = given.connection();
  given.release();
  if (client == nullptr) return;
  // At least one: who takes none at the moment is asked all the same.
  streams_expected_ = std::max(client->allowed(), 1U);
  const bool is_wanted = keeping.is_wanted && client->was_made_by(keeping.tls);
  if (!is_wanted || (!keeping.has_place && client->lent() == 0)) {
    client->leave();
  } else {
    client->idle(keeping.idle_ms);
  }
}

// Those in use too: they finish what they have begun, and take nothing new.
void H2Connections::close_idle() {
  H2Client* next = nullptr;
  for (H2Client* client = connections_.front(); client != nullptr; client = next) {
    next = connections_.next(*client);
    client->leave();
  }
}

bool H2Connections::close_an_idle_one() {
  for (H2Client* client = connections_.front(); client != nullptr;
       client = connections_.next(*client)) {
    if (!client->is_idle()) continue;
    client->leave();
    return true;
  }
  return false;
}

void H2Connections::close_all() {
  H2Client* next = nullptr;
  for (H2Client* client = connections_.front(); client != nullptr; client = next) {
    next = connections_.next(*client);
    if (client->lent() == 0) {
      client->close();
    } else {
      client->leave();
    }
  }
}

void H2Connections::on_client_connected(H2Client& client, base::Error failure) {
  if (failure.is_error()) owner_->on_dial_failed(failure);
  while (H2ClientStream* stream = client.pop_waiting()) {
    auto* waiter = static_cast<PoolWaiter*>(stream->tag());
    stream->set_tag(nullptr);
    if (waiter != nullptr) owner_->on_dialled(*waiter, failure);
  }
  if (failure.is_error()) client.close();
}

void H2Connections::on_client_gone(H2Client& client) {
  client.base::ListHook<H2Client>::unlink();
  context_->h2->clients.destroy(&client);
  owner_->on_gone();
}

}  // namespace portunus::proxy
