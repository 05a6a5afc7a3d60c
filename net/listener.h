// One listening socket of one data-plane thread. Sockets are opened by open_listening_socket() (one
// per thread, SO_REUSEPORT) and handed in as descriptors, so that inherited ones take the same way.
// Accepting pauses without refusing anybody: connections wait in the kernel's queue. One thread.
#pragma once

#include <uv.h>

#include <expected>
#include <string>

#include "net/address.h"
#include "net/loop.h"

namespace portunus::net {

class Listener;

class Acceptor {
 public:
  // One connection waits: take it with Stream::accept_from(listener.handle()) or leave it; then
  // accepting is paused until resume().
  virtual void on_connection(Listener& listener) = 0;
  virtual void on_listener_closed(Listener& listener) = 0;

 protected:
  ~Acceptor() = default;
};

class Listener final {
 public:
  // Takes ownership of `descriptor`, a bound socket.
  Listener(Loop& loop, Acceptor& acceptor, std::size_t index);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() = default;

  [[nodiscard]] bool start(int descriptor);
  // Calls on_connection() again if a connection was left waiting.
  void resume();
  // The next connection that the kernel holds, past on_connection(); -1 when there is none. For a
  // last look before close(). The caller owns the descriptor.
  [[nodiscard]] int take_waiting();
  // The kernel resets clients that wait for being accepted; on_listener_closed() follows in a later
  // turn.
  void close();
  [[nodiscard]] uv_stream_t* handle() { return reinterpret_cast<uv_stream_t*>(&tcp_); }
  [[nodiscard]] std::size_t index() const { return index_; }
  void mark_taken() { waiting_ = false; }

 private:
  static void on_connection(uv_stream_t* handle, int status);

  Loop* loop_;
  Acceptor* acceptor_;
  std::size_t index_;  // of the listener in the worker's table
  bool waiting_ = false;
  bool closing_ = false;
  uv_tcp_t tcp_;
};

// Binds a stream socket (not yet listening): close-on-exec, TCP_NODELAY (inherited by what it
// accepts), SO_REUSEPORT when `shared`. The error text names the cause.
[[nodiscard]] std::expected<int, std::string> open_listening_socket(const Address& address,
                                                                    bool shared);

}  // namespace portunus::net
