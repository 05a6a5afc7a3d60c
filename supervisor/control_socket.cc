#include "supervisor/control_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "supervisor/unix_address.h"

namespace portunus::supervisor {
namespace {

// One that is on its way out.
struct Write {
  uv_write_t request{};
  std::string text;
};

template <typename Handle>
uv_handle_t* base_of(Handle& handle) {
  return reinterpret_cast<uv_handle_t*>(&handle);
}

// Root and who the supervisor runs as.
bool is_permitted(uv_pipe_t& pipe) {
  uv_os_fd_t descriptor = -1;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (uv_fileno(base_of(pipe), &descriptor) != 0) return false;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

std::string error_of(const std::string& path) {
  return path + ": " + strerrordesc_np(errno);
}

// Whether it can be bound: nothing is there, or a socket that nobody listens at any more.
std::expected<void, std::string> clear_path(const std::string& path, const UnixAddress& address) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return std::unexpected(error_of(path));
  }
  if (!S_ISSOCK(found.st_mode)) return std::unexpected(path + ": is there and no socket");
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return std::unexpected(error_of(path));
  const int result = ::connect(probe, address.get(), address.size());
  const bool is_alive = result == 0 || errno == EAGAIN;
  ::close(probe);
  if (is_alive) return std::unexpected(path + ": another supervisor listens there");
  if (::unlink(path.c_str()) != 0) return std::unexpected(error_of(path));
  return {};
}

}  // namespace

// ---- a client

ControlClient::ControlClient(ControlSocket& socket, uv_loop_t& loop) : socket_(&socket) {
  uv_pipe_init(&loop, &pipe_, 0);
  uv_timer_init(&loop, &patience_);
  pipe_.data = this;
  patience_.data = this;
}

void ControlClient::begin() {
  uv_timer_start(
      &patience_, [](uv_timer_t* timer) { static_cast<ControlClient*>(timer->data)->close(); },
      ControlSocket::kPatienceMs, 0);
  const int failure = uv_read_start(
      reinterpret_cast<uv_stream_t*>(&pipe_),
      [](uv_handle_t* handle, std::size_t /*wanted*/, uv_buf_t* buffer) {
        auto& self = *static_cast<ControlClient*>(handle->data);
        *buffer = uv_buf_init(self.buffer_.data(), static_cast<unsigned>(self.buffer_.size()));
      },
      [](uv_stream_t* stream, ssize_t size, const uv_buf_t* /*buffer*/) {
        static_cast<ControlClient*>(stream->data)->on_read(size);
      });
  if (failure != 0) close();
}

void ControlClient::on_read(ssize_t size) {
  if (size < 0) {
    close();
    return;
  }
  if (is_asked_) return;  // there is one request
  request_.append(buffer_.data(), static_cast<std::size_t>(size));
  const std::size_t end = request_.find('\n');
  if (end == std::string::npos && request_.size() <= ControlSocket::kRequestMax) return;
  is_asked_ = true;
  uv_timer_stop(&patience_);
  if (end > ControlSocket::kRequestMax) {  // or there is none
    send(R"({"done":true,"ok":false,"error":"the request is too long"})");
    finish();
    return;
  }
  request_.resize(end);
  socket_->handler_.on_request(*this, request_);
}

void ControlClient::send(std::string_view line) {
  if (is_closing_ || is_finished_) return;
  auto* const stream = reinterpret_cast<uv_stream_t*>(&pipe_);
  if (uv_stream_get_write_queue_size(stream) + line.size() > ControlSocket::kUnreadMax) {
    close();
    return;
  }
  auto* const write = new Write;
  write->text.reserve(line.size() + 1);
  write->text.append(line) += '\n';
  write->request.data = this;
  const uv_buf_t part = uv_buf_init(write->text.data(), static_cast<unsigned>(write->text.size()));
  const int failure = uv_write(&write->request, stream, &part, 1, [](uv_write_t* done, int status) {
    auto* const self = static_cast<ControlClient*>(done->data);
    delete reinterpret_cast<Write*>(done);
    if (status != 0) self->close();
  });
  if (failure == 0) return;
  delete write;
  close();
}

void ControlClient::finish() {
  if (is_closing_ || std::exchange(is_finished_, true)) return;
  shutdown_.data = this;
  const int failure = uv_shutdown(&shutdown_, reinterpret_cast<uv_stream_t*>(&pipe_),
                                  [](uv_shutdown_t* done, int /*status*/) {
                                    static_cast<ControlClient*>(done->data)->close();
                                  });
  if (failure != 0) {
    close();
    return;
  }
  uv_timer_start(
      &patience_, [](uv_timer_t* timer) { static_cast<ControlClient*>(timer->data)->close(); },
      ControlSocket::kPatienceMs, 0);
}

int ControlClient::descriptor() const {
  uv_os_fd_t descriptor = -1;
  const auto* const handle = reinterpret_cast<const uv_handle_t*>(&pipe_);
  return !is_closing_ && uv_fileno(handle, &descriptor) == 0 ? descriptor : -1;
}

void ControlClient::close() {
  if (std::exchange(is_closing_, true)) return;
  const auto closed = [](uv_handle_t* handle) {
    static_cast<ControlClient*>(handle->data)->on_closed();
  };
  uv_close(base_of(pipe_), closed);
  uv_close(base_of(patience_), closed);
}

void ControlClient::on_closed() {
  --open_handles_;
  if (open_handles_ > 0) return;
  if (socket_ != nullptr) socket_->on_client_closed(*this);
  delete this;
}

// ---- the socket

ControlSocket::~ControlSocket() {
  for (ControlClient* client : clients_) {
    client->socket_ = nullptr;
    client->close();
  }
  if (listener_ == nullptr) return;
  uv_close(reinterpret_cast<uv_handle_t*>(listener_),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_pipe_t*>(handle); });
  struct stat found{};
  if (::lstat(path_.c_str(), &found) == 0 && found.st_ino == inode_) ::unlink(path_.c_str());
}

std::expected<void, std::string> ControlSocket::open(const std::string& path) {
  const UnixAddress address(path);
  if (!address.is_set()) return std::unexpected(error_of(path));
  if (auto clear = clear_path(path, address); !clear) return clear;
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return std::unexpected(error_of(path));
  // Nobody can connect before it listens, and then the mode is right.
  struct stat made{};
  if (::bind(descriptor, address.get(), address.size()) != 0 || ::chmod(path.c_str(), 0600) != 0 ||
      ::lstat(path.c_str(), &made) != 0) {
    const std::string why = error_of(path);
    ::close(descriptor);
    return std::unexpected(why);
  }
  listener_ = new uv_pipe_t;
  path_ = path;
  inode_ = made.st_ino;
  uv_pipe_init(&loop_, listener_, 0);
  listener_->data = this;
  int failure = uv_pipe_open(listener_, descriptor);
  if (failure != 0) ::close(descriptor);
  if (failure == 0) {
    failure = uv_listen(reinterpret_cast<uv_stream_t*>(listener_), kClientsMax,
                        [](uv_stream_t* stream, int status) {
                          if (status == 0)
                            static_cast<ControlSocket*>(stream->data)->on_connection();
                        });
  }
  if (failure != 0) return std::unexpected(path + ": " + uv_strerror(failure));
  return {};
}

void ControlSocket::on_connection() {
  auto* const client = new ControlClient(*this, loop_);
  clients_.push_back(client);
  const int failure = uv_accept(reinterpret_cast<uv_stream_t*>(listener_),
                                reinterpret_cast<uv_stream_t*>(&client->pipe_));
  if (failure != 0 || clients_.size() > kClientsMax) {
    client->close();
  } else if (!is_permitted(client->pipe_)) {
    client->is_asked_ = true;
    client->send(
        R"({"done":true,"ok":false,"error":"only root and the supervisor's user may ask"})");
    client->finish();
  } else {
    client->begin();
  }
}

void ControlSocket::on_client_closed(ControlClient& client) {
  clients_.remove(&client);
  handler_.on_client_gone(client);
}

}  // namespace portunus::supervisor
