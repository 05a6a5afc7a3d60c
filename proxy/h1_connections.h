// A member's HTTP/1 connections: each carries one request at a time, and the one that was used most
// recently is lent first. One thread.
#pragma once

#include "base/intrusive_list.h"
#include "base/slab.h"
#include "http/h1_client.h"
#include "proxy/connections.h"

namespace portunus::proxy {

class H1Connections final : public Connections, public http::H1ClientOwner {
 public:
  // All outlive this.
  H1Connections(ConnectionsOwner& owner,
                http::ClientContext& context,
                base::Slab<http::H1Client>& slab)
      : owner_(&owner), context_(&context), slab_(&slab) {}

  [[nodiscard]] http::ClientStream* lend(LeaseWish wish) override;
  [[nodiscard]] http::ClientStream& dial(const Dialling& how, PoolWaiter& waiter) override;
  void take_back(http::ClientStream& stream, const Keeping& keeping) override;
  void close_idle() override;
  bool close_an_idle_one() override;
  void close_all() override;

 private:
  using List = base::IntrusiveList<http::H1Client, http::H1Client>;

  void on_client_connected(http::H1Client& client, base::Error failure) override;
  void on_client_stale(http::H1Client& client) override;
  void on_client_gone(http::H1Client& client) override;

  ConnectionsOwner* owner_;
  http::ClientContext* context_;
  base::Slab<http::H1Client>* slab_;
  List idle_;     // most recent first
  List leaving_;  // tunnels' last bytes
};

}  // namespace portunus::proxy
