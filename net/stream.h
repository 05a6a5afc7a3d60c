// A TCP byte stream on a loop, plain or TLS: write-through with one queue for what the socket did not
// take, half-close and deferred close. Small writes of one poll leave in one system call at its end; a
// large slice is written from where it lies and only its unsent tail is copied. Held by value in
// its owner (a connection), which lives until on_closed(). One thread.
#pragma once

#include <uv.h>

#include <cstdint>
#include <memory>
#include <span>

#include "base/chunk.h"
#include "base/error.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/tls_session.h"

namespace portunus::net {

// Events of one byte stream.
class StreamOwner {
 public:
  virtual void on_bytes(std::span<const char> bytes) = 0;  // bytes live until return
  // No more bytes will come: the peer's FIN (why.reason == ok; writing still works) or a failure.
  virtual void on_end(base::Error why) = 0;
  virtual void on_drained() = 0;  // unsent() fell to the low mark after having been blocked
  virtual void on_closed() = 0;   // after close(): the handle is gone, the owner may end itself
  // The outcome of connect(), or of the handshake after start_tls(). Else it never comes. After a
  // failed handshake only finish(), which tells the peer why, and close() are of use.
  virtual void on_connected(base::Error /*failure*/) {}
  // With TLS: the peer's host has accepted the connection, and hands are being shaken.
  virtual void on_reached() {}

 protected:
  ~StreamOwner() = default;
};

class Stream final : private Flushable {
 public:
  // Slices up to this size are gathered to the end of the poll; larger ones are written at once.
  static constexpr std::size_t kGatherMax = 2048;
  static constexpr std::size_t kLowMark = std::size_t{16} * 1024;

  Stream(Loop& loop, StreamOwner& owner);
  ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] Loop& loop() { return *loop_; }
  // Events go to this one from now on.
  void set_owner(StreamOwner& owner) { owner_ = &owner; }
  [[nodiscard]] int descriptor() const { return descriptor_; }  // -1 before there is one

  // Takes a connected socket, which is the stream's from now on; closes it when that fails.
  [[nodiscard]] bool adopt(int descriptor);
  // Begins to connect; on_connected() follows in a later turn, a failure to begin included.
  void connect(const Address& address);
  // Before connect(): what goes ahead of everything else once it stands, of TLS too.
  void put_first(std::span<const char> bytes) { unsent_.append(bytes); }
  // Speaks TLS from here on, in that role: before connect(), or after adopt() and before any byte.
  // on_connected() follows when hands are shaken (of a server: once reading is on); until then
  // nothing is delivered, and what is written waits. False: out of memory.
  [[nodiscard]] bool start_tls(ssl_ctx_st* context, TlsSession::Role role);
  // After start_tls(): what the peer has sent already. Events come at once, as they do when it is read.
  void take_sealed(std::span<const char> bytes);
  [[nodiscard]] TlsSession* tls() const { return tls_.get(); }  // null: plain
  // Begins to deliver bytes; `on` again after set_reading(false) resumes.
  void set_reading(bool on);
  [[nodiscard]] bool is_reading() const { return reading_; }
  // Whether the peer has closed, or sent something that we have not read yet. Costs a system call.
  [[nodiscard]] bool has_input() const;
  // Takes all bytes; what the socket does not take now is unsent().
  void write(std::span<const char> bytes);
  void write(std::string_view text) { write(std::span<const char>(text.data(), text.size())); }
  [[nodiscard]] std::size_t unsent() const {
    return unsent_.size() + (tls_ == nullptr ? 0 : tls_->unsealed());
  }
  // FIN after everything written so far.
  void end_writing();
  // close() as soon as everything written so far has left.
  void finish();
  // Closes at once, dropping what is unsent; on_closed() follows in a later turn.
  void close();
  // close() with a RST, for a truncated answer that must not look complete.
  void abort();
  [[nodiscard]] bool is_closing() const { return closing_; }
  // Bytes that the kernel has taken so far, sealed ones if they are: tells a slow peer from a dead one.
  [[nodiscard]] std::uint64_t bytes_sent() const;

 private:
  struct WriteRequest;
  struct ConnectRequest;
  void flush() override;
  void fail_writing();
  void learn_descriptor();
  void write_through(std::span<const char> slice);
  [[nodiscard]] ssize_t send_now(std::span<iovec> vectors);
  void start_blocked_write();
  void after_queue_emptied();
  void end_reading(base::Error why);
  void send_queue();
  // TLS: stream_tls.cc
  void greet();
  void read_sealed(std::span<const char> bytes);
  void end_sealed(base::Error why);
  [[nodiscard]] bool shake_hands();
  void write_sealed(std::span<const char> bytes);
  void seal_and_send(std::span<const char> slice);
  void send_fin();
  static void on_alloc(uv_handle_t* handle, std::size_t hint, uv_buf_t* buffer);
  static void on_read(uv_stream_t* handle, ssize_t count, const uv_buf_t* buffer);
  static void on_written(uv_write_t* request, int status);
  static void on_connect(uv_connect_t* request, int status);
  static void on_close(uv_handle_t* handle);
  [[nodiscard]] uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&tcp_); }

  Loop* loop_;
  StreamOwner* owner_;
  base::ChunkQueue unsent_;          // sealed bytes, if they are
  std::unique_ptr<TlsSession> tls_;  // null: plain
  WriteRequest* blocked_ = nullptr;  // in flight in libuv: the socket is full
  std::uint64_t bytes_sent_ = 0;
  int descriptor_ = -1;          // the handle's, once there is one
  int connect_failure_ = 0;      // libuv's code, until it has been told
  std::uint8_t full_reads_ = 0;  // in a row, bounded: how often to double what one may bring
  bool reading_ = false;
  bool yields_ = false;  // the last read filled the buffer: not another one before the next poll
  bool closing_ = false;
  bool ending_ = false;        // FIN wanted
  bool ended_ = false;         // FIN sent
  bool finishing_ = false;     // close when the queue is empty
  bool greets_later_ = false;  // our first message of TLS is due
  bool failed_ = false;  // a write failed; the read side tells the owner, or flush() when it is off
  uv_tcp_t tcp_;
};

}  // namespace portunus::net
