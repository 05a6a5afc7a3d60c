// One listener on one data-plane thread: its socket, its client connections, and what requests that
// come in through it need. Keeps its place over reloads; when the configuration drops it, it stops
// accepting and serves what is still connected on its last generation. Owned by the worker. One
// thread.
#pragma once

#include <memory>
#include <string>

#include "conf/model.h"
#include "http/server_connection.h"
#include "net/listener.h"
#include "proxy/exchange.h"

namespace portunus::proxy {

class Door;

class DoorOwner {
 public:
  // Whether clients are let in at all.
  [[nodiscard]] virtual bool accepts() { return true; }
  // Whether one more client connection fits into the thread's descriptors.
  [[nodiscard]] virtual bool has_room() = 0;
  virtual void on_client_opened() = 0;
  virtual void on_client_closed() = 0;
  // Another thread waits for a connection of the listener to end, and one has.
  virtual void on_share_freed() = 0;
  // Socket and connections are gone; the owner may end it.
  virtual void on_door_empty(Door& door) = 0;

 protected:
  ~DoorOwner() = default;
};

class Door final : private net::Acceptor,
                   private http::StreamAcceptor,
                   private http::ServerConnectionOwner {
 public:
  Door(ExchangeContext& exchanges,
       base::Slab<http::ServerConnection>& servers,
       base::Slab<http::Inbound>& inbounds,
       DoorOwner& owner,
       conf::Listener config);
  ~Door() { tell_h2_counts(); }
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  // Takes over the settings of a generation, in which this is listener number `index`.
  void configure(const Generation& generation, std::size_t index);
  // To clients that come from now on.
  void show(SharedTlsSetup tls);
  // Takes ownership of a bound socket.
  [[nodiscard]] bool open(int descriptor);
  // Stops accepting, closes idle connections, lets running requests end. With `last`, requests that
  // still come are served on that generation.
  void drain(LocalGeneration* last);
  // Ends everything now.
  void shut_down();
  // Accepts what had to wait.
  void resume();
  // Closes the connection that has been idle for longest among the first few; false: none is idle.
  bool close_an_idle_client();

  // HTTP/2 too from now on, by ALPN or prior knowledge.
  void speak_h2(http::H2Shared& shared) { context_.h2 = &shared; }
  // Others wait for descriptors: whoever has been answered goes.
  // Hands what was counted of HTTP/2 to the metrics.
  void tell_h2_counts();
  void set_crowded(bool is_crowded) { context_.is_crowded = is_crowded; }
  // The connection at the head of the queue waits for a descriptor.
  [[nodiscard]] bool waits_for_room() const {
    return listener_.is_one_waiting() && waits_for_room_;
  }

  [[nodiscard]] const conf::Listener& config() const { return config_; }
  [[nodiscard]] bool is_draining() const { return context_.is_draining; }
  [[nodiscard]] bool is_open() const { return is_open_; }
  [[nodiscard]] std::size_t clients() const { return client_count_; }

 private:
  // net::Acceptor
  void on_connection(net::Listener& listener) override;
  void on_listener_closed(net::Listener& listener) override;
  // http::StreamAcceptor
  http::StreamHandler* on_stream(http::Stream& stream, const http::ClientInfo& client) override;
  void on_refused(const http::ClientInfo& client,
                  const http::Head& head,
                  base::Error why,
                  std::uint16_t status,
                  std::string_view request_id) override;
  // http::ServerConnectionOwner
  void on_connection_gone(http::ServerConnection& server) override;
  void on_handshake(http::ServerConnection& server,
                    std::string_view failure,
                    std::uint64_t duration_ns) override;
  void on_no_proxy_header(http::ServerConnection& server, std::string_view why) override;
  void check_empty();
  void take(int descriptor, const net::Address& peer);
  void take_waiting();
  [[nodiscard]] bool take_share();
  void give_share();
  // False: its client has as many connections as it may.
  [[nodiscard]] bool count_client(const net::Address& peer,
                                  base::CountTable::Entry*& counted) const;
  void count_waiting(ConnectionRejection reason);

  ExchangeContext* exchanges_;
  base::Slab<http::ServerConnection>* servers_;
  DoorOwner* owner_;
  conf::Listener config_;
  http::ServerContext context_;
  SharedTlsSetup tls_;  // what context_ points into
  std::size_t index_ = 0;
  std::uint32_t id_ = 0;  // MetricsRegistry's
  std::uint64_t connections_max_ = 0;
  std::shared_ptr<ListenerShare> share_;   // allow(shared_ptr): once per door
  ClientCounts* clients_known_ = nullptr;  // the generations'; null: no limit yet
  std::uint32_t client_connections_max_ = 0;
  std::uint32_t ipv6_prefix_ = 0;
  const net::CidrSet* trusted_ = nullptr;  // the generation's, as context_.proxies
  base::Pinned<LocalGeneration> last_;
  net::Listener listener_;
  bool is_open_ = false;         // the socket's handle exists
  bool is_one_waiting_ = false;  // at the head of the kernel queue, and counted
  bool waits_for_room_ = false;
  std::size_t client_count_ = 0;
  base::IntrusiveList<http::ServerConnection, http::ServerConnection> clients_;
};

}  // namespace portunus::proxy
