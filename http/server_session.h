// One protocol on one client connection: what the connection and its owner tell it. It is the owner
// of the connection's net::Stream from start() on, and says ServerConnection::on_session_closed()
// when that is closed. One thread.
#pragma once

#include <span>

#include "base/error.h"

namespace portunus::http {

// How an exchange ends because of its client.
inline constexpr base::Error kClientClosed{base::EndReason::client_closed, base::Side::client,
                                           base::Retry::no, "the client closed the connection"};
inline constexpr base::Error kClientTimeout{base::EndReason::client_timeout, base::Side::client,
                                            base::Retry::no, "the client was too slow"};

class ServerSession {
 public:
  // The connection stands. `first`: bytes that came while the protocol was not known yet; they live
  // until return.
  virtual void start(std::span<const char> first) = 0;
  // Closes when no exchange is running; else after the running ones, and the client is told.
  virtual void drain() = 0;
  // Closes at once; running exchanges are told `why`, and their clients too where an answer has not
  // begun.
  virtual void shut_down(base::Error why) = 0;
  [[nodiscard]] virtual bool is_idle() const = 0;
  // Between two requests: it has been served before and may be closed to make room.
  [[nodiscard]] virtual bool is_kept_alive() const = 0;

 protected:
  ~ServerSession() = default;
};

}  // namespace portunus::http
