// A member's HTTP/2 connections: many requests share one, and another is opened when all that stand
// carry as many as the member takes at once. Requests that come while one is being opened wait for
// that one together. The fullest is lent first, so that those too many fall idle. One thread.
#pragma once

#include "base/intrusive_list.h"
#include "http/h2_client.h"
#include "http/h2_client_stream.h"
#include "proxy/connections.h"

namespace portunus::proxy {

class H2Connections final : public Connections, public http::H2ClientOwner {
 public:
  // Both outlive this.
  H2Connections(ConnectionsOwner& owner, http::ClientContext& context)
      : owner_(&owner), context_(&context) {}

  [[nodiscard]] http::ClientStream* lend(LeaseWish wish) override;
  [[nodiscard]] http::ClientStream& dial(const Dialling& how, PoolWaiter& waiter) override;
  void take_back(http::ClientStream& stream, const Keeping& keeping) override;
  void close_idle() override;
  bool close_an_idle_one() override;
  void close_all() override;

 private:
  void on_client_connected(http::H2Client& client, base::Error failure) override;
  void on_client_gone(http::H2Client& client) override;

  [[nodiscard]] http::H2Client& open(const Dialling& how);

  ConnectionsOwner* owner_;
  http::ClientContext* context_;
  std::uint32_t streams_expected_ =
      http::H2Client::kStreamsExpected;                              // as the member has said last
  base::IntrusiveList<http::H2Client, http::H2Client> connections_;  // first come, first used
};

}  // namespace portunus::proxy
