// One client connection: its socket, and the protocol spoken on it, which is known at once, or after
// a TLS handshake, or from its first bytes. In front of all that may stand who the client is (the PROXY
// protocol), where the peer is one whose word is taken. Taken from the thread's slab by its owner and given back
// in on_connection_gone(). One thread.
//
//   new --peer is a proxy--> opening --its header--> plain: session, TLS: opening
//   new --plain--> session
//   new --TLS--> opening --hands shaken--> session
//   opening --failed, too slow--> closing
//   any --socket closed--> gone
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/count_table.h"
#include "base/intrusive_list.h"
#include "http/h1_server.h"
#include "http/server_context.h"
#include "http/server_session.h"
#include "net/proxy_protocol.h"
#include "net/stream.h"

namespace portunus::http {

class H2Session;

class ServerConnection final : public base::ListHook<ServerConnection>, private net::StreamOwner {
 public:
  explicit ServerConnection(ServerContext& context);
  ~ServerConnection();
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  // Takes a socket that was accepted at the listener of that index; when it cannot be used,
  // on_connection_gone() follows.
  void accept(int descriptor, const net::Address& peer, std::size_t listener);
  // See ServerSession.
  void drain();
  void shut_down(base::Error why);
  [[nodiscard]] bool is_idle() const { return session_ != nullptr && session_->is_idle(); }
  [[nodiscard]] bool is_kept_alive() const {
    return session_ != nullptr && session_->is_kept_alive();
  }
  [[nodiscard]] const ClientInfo& client() const { return client_; }
  [[nodiscard]] std::size_t listener() const { return listener_; }
  // Where its owner has counted it, for itself.
  base::CountTable::Entry* counted = nullptr;

  // For the session.
  [[nodiscard]] net::Stream& stream() { return tcp_; }
  // The stream is closed, its owner told: this connection ends.
  void on_session_closed();
  // Of HTTP/1, for the first bytes of a client: whether they begin as HTTP/2 by prior knowledge does
  // (RFC 9113 section 3.4), and are thus none of its business any more. `held`: such bytes of earlier
  // calls, which turned out to be HTTP/1 all the same.
  [[nodiscard]] bool take_preface(std::span<const char> bytes, std::span<const char>& held);

 private:
  // net::StreamOwner, as long as there is no session.
  void on_bytes(std::span<const char> bytes) override;
  void on_end(base::Error why) override;
  void on_drained() override {}
  void on_closed() override;
  void on_connected(base::Error failure) override;

  // What is needed until the protocol is known, and not by the idle one of later.
  struct Opening {
    explicit Opening(ServerConnection& connection);
    net::Deadline deadline;
    std::uint64_t began_ns;
    std::optional<net::ProxyHeaderReader> header;  // until it is there
  };
  void begin_opening();
  void begin_protocol(std::span<const char> first);
  void end_opening(std::string_view failure);
  void begin_session(std::span<const char> first);
  [[nodiscard]] bool speaks_h2() const;

  ServerContext* context_;
  ServerSession* session_ = nullptr;
  ClientInfo client_;
  std::uint16_t listener_ = 0;
  std::uint8_t preface_ = 0;  // bytes of it that have come
  std::unique_ptr<Opening> opening_;
  net::Stream tcp_;
  std::optional<H1Server> h1_;  // here, not behind a pointer: most connections have one
  H2Session* h2_ = nullptr;     // from the slab
};

}  // namespace portunus::http
