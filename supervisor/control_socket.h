// Where the command line reaches the supervisor: a Unix socket in the folder of its state, for root
// and the supervisor's own user only. Lines in, lines out; what they say is the handler's affair
// (service_commands.h). Bounded: clients, the length of a line, what a client leaves unread, and how
// long one may be silent before it asks. Owned by the supervisor; its thread.
#pragma once

#include <sys/types.h>
#include <uv.h>

#include <array>
#include <cstdint>
#include <expected>
#include <list>
#include <string>
#include <string_view>

namespace portunus::supervisor {

class ControlSocket;

// One connection: one request, one answer. Deleted when it has closed, from the loop.
class ControlClient {
 public:
  ControlClient(ControlSocket& socket, uv_loop_t& loop);
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  // One line, without its end. Nothing more is sent to a client that has gone or does not read.
  void send(std::string_view line);
  // When all has been sent; nothing follows.
  void finish();
  [[nodiscard]] bool is_open() const { return !is_closing_; }
  // -1 when it has gone.
  [[nodiscard]] int descriptor() const;

 private:
  friend class ControlSocket;
  ~ControlClient() = default;
  void begin();
  void on_read(ssize_t size);
  void close();
  void on_closed();

  ControlSocket* socket_;  // null: it has gone before the client
  uv_pipe_t pipe_{};
  uv_shutdown_t shutdown_{};
  uv_timer_t patience_{};
  std::uint32_t open_handles_ = 2;
  bool is_asked_ = false;  // its request has come
  bool is_closing_ = false;
  bool is_finished_ = false;
  std::string request_;
  std::array<char, 4096> buffer_{};
};

class ControlHandler {
 public:
  // The client lives until on_client_gone(), which comes from the loop, answered or not.
  virtual void on_request(ControlClient& client, std::string_view line) = 0;
  virtual void on_client_gone(ControlClient& client) = 0;

 protected:
  ~ControlHandler() = default;
};

class ControlSocket {
 public:
  static constexpr std::size_t kRequestMax = std::size_t{64} * 1024;
  static constexpr std::size_t kUnreadMax = std::size_t{1024} * 1024;
  static constexpr std::size_t kClientsMax = 32;
  static constexpr std::uint64_t kPatienceMs = 30'000;

  ControlSocket(uv_loop_t& loop, ControlHandler& handler) : loop_(loop), handler_(handler) {}
  // Removes the file. The handles close on the loop.
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  // Takes the place of a file that nobody listens at. The error is one line.
  [[nodiscard]] std::expected<void, std::string> open(const std::string& path);

 private:
  friend class ControlClient;
  void on_connection();
  void on_client_closed(ControlClient& client);

  uv_loop_t& loop_;
  ControlHandler& handler_;
  uv_pipe_t* listener_ = nullptr;
  std::string path_;
  ino_t inode_ = 0;
  std::list<ControlClient*> clients_;
};

}  // namespace portunus::supervisor
