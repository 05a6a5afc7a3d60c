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
  // One connection waits: take() it or leave it; then accepting is paused until resume().
  virtual void on_connection(Listener& listener) = 0;
  virtual void on_listener_closed(Listener& listener) = 0;

 protected:
  ~Acceptor() = default;
};

class Listener final : private Deferred {
 public:
  Listener(Loop& loop, Acceptor& acceptor, std::size_t index);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() = default;

  // Takes ownership of `descriptor`, a bound socket, and listens.
  [[nodiscard]] bool start(int descriptor);
  // Calls on_connection() again if a connection was left waiting.
  void resume();
  [[nodiscard]] bool is_one_waiting() const { return waiting_ >= 0; }
  // The connection that waits, or the next one that the kernel holds; -1 when there is none. The
  // caller owns the descriptor, which does not block.
  [[nodiscard]] int take(Address& peer);
  // The kernel resets clients that wait for being accepted; on_listener_closed() follows when the
  // handle is gone, after this call at any rate.
  void close();
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] std::size_t index() const { return index_; }

 private:
  static void on_readable(uv_poll_t* handle, int status, int events);
  void accept_some();
  [[nodiscard]] bool accept_one();
  void set_polling(bool on);
  // net::Deferred: closed without ever having listened.
  void on_turn_end() override { acceptor_->on_listener_closed(*this); }

  Loop* loop_;
  Acceptor* acceptor_;
  std::size_t index_;  // of the listener in the worker's table
  int descriptor_ = -1;
  int waiting_ = -1;  // accepted, and not taken yet
  int batch_ = 1;     // connections to take at one event
  int full_batches_ = 0;
  bool closing_ = false;
  Address peer_;    // of the one that waits
  Deadline retry_;  // after a failure of ours
  uv_poll_t poll_;
};

// Binds a stream socket (not yet listening): close-on-exec, TCP_NODELAY (inherited by what it
// accepts), SO_REUSEPORT when `shared`. The error text names the cause.
[[nodiscard]] std::expected<int, std::string> open_listening_socket(const Address& address,
                                                                    bool shared);

}  // namespace portunus::net
