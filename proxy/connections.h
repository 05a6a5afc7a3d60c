// The connections of one thread to one member, over one protocol: which of them a request is lent,
// how another is opened, and which are kept. One class for each protocol; the slot of the member has
// one of each, for a reload may change what its pool speaks. One thread.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "http/client_stream.h"
#include "net/address.h"
#include "net/tls_client.h"

namespace portunus::proxy {

class PoolWaiter;

struct LeaseWish {
  bool is_repeatable = true;  // else a kept connection is looked at before it is used
  bool needs_fresh = false;   // no kept connection
};

// Who has the connections. Its pool's business is to tell the waiters, and to count.
class ConnectionsOwner {
 public:
  // About to open one more.
  virtual void on_opening() = 0;
  // It stands, or failed. `waiter` has been waiting for it.
  virtual void on_dialled(PoolWaiter& waiter, base::Error failure) = 0;
  // A connection failed before it stood, whoever waited.
  virtual void on_dial_failed(base::Error failure) = 0;
  // Its descriptor is free again.
  virtual void on_gone() = 0;

 protected:
  ~ConnectionsOwner() = default;
};

// How a connection is opened.
struct Dialling {
  const net::Address* address;
  const net::TlsTarget* tls;  // its client is null: in the clear
  net::TlsResumption* resumption;
  http::DialTimes times;
  std::span<const char> first;  // goes ahead of everything; such a connection carries one request
};

// What is to become of a connection that is given back.
struct Keeping {
  bool is_wanted;             // else it is closed
  bool has_place;             // else it is closed as soon as nobody uses it
  const net::TlsClient* tls;  // also when it was not made by this one
  std::uint64_t idle_ms;
};

class Connections {
 public:
  virtual ~Connections() = default;

  // Of a connection that stands; null: dial().
  [[nodiscard]] virtual http::ClientStream* lend(LeaseWish wish) = 0;
  // on_dialled() follows, with this waiter, unless the stream is given back before.
  [[nodiscard]] virtual http::ClientStream& dial(const Dialling& how, PoolWaiter& waiter) = 0;
  // Of lend() or dial(), whatever has become of it.
  virtual void take_back(http::ClientStream& stream, const Keeping& keeping) = 0;
  // What nobody uses is closed, and what is in use when it comes back.
  virtual void close_idle() = 0;
  // The one that has been unused for longest; false: there is none.
  virtual bool close_an_idle_one() = 0;
  // Also those that only wait for their last bytes to leave: the thread ends.
  virtual void close_all() = 0;
};

}  // namespace portunus::proxy
