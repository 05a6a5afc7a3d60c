// The contract of the data path: commands down to one side of an exchange (Stream), events up from
// it (StreamHandler), and who handles a new stream (StreamAcceptor). One message in each direction.
// Both protocols, in both roles, stand behind it; so does a recorder in tests. One thread.
//
// Rules:
//  1. A command never raises an event synchronously; what must be told comes later in the turn.
//  2. The end of the response (end = true, trailers, or reset) ends the stream for its handler: no
//  event
//     follows it. A server stream then disposes of an unread request by itself. Exception: after a
//     101 head the stream is a tunnel; both directions end on their own (half-close), the stream
//     when both have.
//  3. Interim heads (1xx but 101) may come before the final one, in both commands and events.
//  4. After on_reset or reset() nothing more comes and nothing more may be commanded.
//  5. unsent() is what the peer has not taken yet. Above kUnsentHigh the source should stop reading
//     (set_reading(false) on the other side); on_drained() comes when it has fallen below
//     kUnsentLow.
//  6. Nothing is destroyed inside its own callback (net::Loop::bury).
#pragma once

#include <cstddef>
#include <span>

#include "base/error.h"
#include "http/message.h"
#include "net/address.h"

namespace portunus::net {
class TlsSession;
}  // namespace portunus::net

namespace portunus::http {

inline constexpr std::size_t kUnsentHigh = std::size_t{64} * 1024;  // bytes
inline constexpr std::size_t kUnsentLow = std::size_t{16} * 1024;   // bytes

class StreamHandler;

class Stream {
 public:
  virtual void send_head(const Head& head, bool end) = 0;
  virtual void send_body(std::span<const char> bytes, bool end) = 0;  // takes all; unsent() grows
  virtual void send_trailers(const HeaderBlock& trailers) = 0;        // ends the message
  virtual void set_reading(bool on) = 0;
  virtual void set_handler(StreamHandler* handler) = 0;  // who gets the events
  virtual void reset(base::Error why) = 0;               // no event follows
  [[nodiscard]] std::size_t unsent() const { return unsent_; }

 protected:
  ~Stream() = default;
  std::size_t unsent_ = 0;
};

class StreamHandler {
 public:
  // The head lives until the stream ends; the handler may change it.
  virtual void on_head(Head& head, bool end) = 0;
  virtual void on_body(std::span<const char> bytes, bool end) = 0;  // the bytes live until return
  virtual void on_trailers(const HeaderBlock& trailers) = 0;        // the message has ended
  virtual void on_drained() = 0;
  virtual void on_reset(base::Error why) = 0;

 protected:
  ~StreamHandler() = default;
};

// Who is at the other end of a server connection. Lives as long as the connection.
struct ClientInfo {
  net::Address peer;        // of the socket
  net::Address source;      // whose connection it is: the peer's, unless it has said more
  net::Address local = {};  // where that one has connected to; unset: as the socket says
  const net::TlsSession* tls = nullptr;  // null: in the clear
  int descriptor = -1;                   // of the socket; as long as the connection is open
};

// Above a server connection.
class StreamAcceptor {
 public:
  // The handler of this new stream; its on_head follows at once.
  virtual StreamHandler* on_stream(Stream& stream, const ClientInfo& client) = 0;
  // A request was refused before it became a stream and has been answered with `status` (0: nothing
  // was sent). `head` holds what was understood of it.
  virtual void on_refused(const ClientInfo& client,
                          const Head& head,
                          base::Error why,
                          std::uint16_t status,
                          std::string_view request_id) = 0;

 protected:
  ~StreamAcceptor() = default;
};

}  // namespace portunus::http
