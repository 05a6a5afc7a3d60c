// Turns of one net::Loop in the test's own thread, and raw sockets that play the other side in the
// same thread: every step is made when something is ready, nothing sleeps, and a wait that takes too
// long is a failure and not a hang. Header only: the fuzz targets use it too.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/loop.h"
#include "tests/support/test_clock.h"

namespace portunus::test {

// Something with a descriptor that wants to be looked at.
class Pumped {
 public:
  virtual ~Pumped() = default;
  virtual int descriptor() const = 0;  // -1: closed
  virtual short wish() const = 0;      // of poll()
  virtual void pump() = 0;
};

class LoopDriver {
 public:
  LoopDriver() {
    std::signal(SIGPIPE, SIG_IGN);  // as the program does
    if (portunus_test_clock_drive != nullptr) portunus_test_clock_drive(true);
  }
  ~LoopDriver() {
    loop.stop();
    // A handle that somebody forgot would make the loop's destructor wait for ever.
    const std::uint64_t end_ns = base::monotonic_ns() + 5'000'000'000;
    while (uv_loop_alive(loop.uv()) != 0) {
      if (base::monotonic_ns() > end_ns) std::abort();
      uv_run(loop.uv(), UV_RUN_NOWAIT);
    }
    if (portunus_test_clock_drive != nullptr) portunus_test_clock_drive(false);
  }
  LoopDriver(const LoopDriver&) = delete;
  LoopDriver& operator=(const LoopDriver&) = delete;

  void add(Pumped& pumped) { pumped_.push_back(&pumped); }
  void remove(Pumped& pumped) { std::erase(pumped_, &pumped); }

  // Commands to objects of the loop, as if from a callback.
  template <typename Function>
  void turn(Function function) {
    const net::Loop::Turn open(loop);
    function();
  }
  // False when `done()` did not become true in time.
  template <typename Done>
  bool run_until(Done done, std::uint64_t limit_ms = 5'000) {
    const std::uint64_t end_ns = base::monotonic_ns() + limit_ms * 1'000'000;
    while (true) {
      step();
      if (done()) return true;
      if (base::monotonic_ns() > end_ns) return false;
      wait(20);
    }
  }
  // Until nothing is ready any more on either side (timers aside).
  void settle() {
    // What a sender's kernel still holds may wait for room that nobody makes: hence the bound.
    constexpr int kPatience = 20;
    for (int quiet = 0, calm = 0; quiet < kPatience && calm < 3; ++quiet) {
      const bool is_held = has_held_bytes();
      step();
      if (wait(is_held || calm == 2 ? 1 : 0)) {
        quiet = calm = 0;
      } else {
        calm = is_held ? 0 : calm + 1;
      }
    }
  }
  // Lets the kernel carry over what has been sent, without a turn of the loop.
  void deliver() {
    for (int i = 0; i < 100 && (i == 0 || has_held_bytes()); ++i)
      ::poll(nullptr, 0, 1);
  }
  void step() {
    const std::size_t before = counter == nullptr ? 0 : counter();
    uv_run(loop.uv(), UV_RUN_NOWAIT);
    if (counter != nullptr) counted += counter() - before;
    const std::vector<Pumped*> now = pumped_;
    for (Pumped* pumped : now)
      pumped->pump();
  }

  net::Loop loop;
  // What grows while the loop runs, without the test's own share: allocations, for one.
  std::size_t (*counter)() = nullptr;
  std::size_t counted = 0;

 private:
  bool wait(int milliseconds) {
    std::vector<pollfd> fds{{uv_backend_fd(loop.uv()), POLLIN, 0}};
    for (const Pumped* pumped : pumped_) {
      if (pumped->descriptor() >= 0 && pumped->wish() != 0) {
        fds.push_back({pumped->descriptor(), pumped->wish(), 0});
      }
    }
    return ::poll(fds.data(), fds.size(), milliseconds) > 0;
  }

  [[nodiscard]] bool has_held_bytes() {
    bool is_any = false;
    for (const Pumped* pumped : pumped_)
      is_any = is_any || has_unsent_bytes(pumped->descriptor());
    uv_walk(
        loop.uv(),
        [](uv_handle_t* handle, void* any) {
          uv_os_fd_t descriptor = -1;
          if (handle->type == UV_TCP && uv_fileno(handle, &descriptor) == 0 &&
              has_unsent_bytes(descriptor)) {
            *static_cast<bool*>(any) = true;
          }
        },
        &is_any);
    return is_any;
  }
  static bool has_unsent_bytes(int descriptor) {
    int bytes = 0;
    return descriptor >= 0 && ::ioctl(descriptor, SIOCOUTQNSD, &bytes) == 0 && bytes > 0;
  }

  std::vector<Pumped*> pumped_;
};

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// One end of a TCP connection, played by the test.
class Peer final : public Pumped {
 public:
  Peer(LoopDriver& driver, int descriptor) : driver_(&driver), descriptor_(descriptor) {
    ::fcntl(descriptor_, F_SETFL, O_NONBLOCK);
    const int on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    driver.add(*this);
  }
  // Connects; the kernel does so without anybody accepting.
  static std::unique_ptr<Peer> connect_to(LoopDriver& driver,
                                          std::uint16_t port,
                                          int receive_buffer = 0) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      ::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const sockaddr_in address = loopback(port);
    if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      std::abort();
    }
    return std::make_unique<Peer>(driver, descriptor);
  }
  ~Peer() override {
    close();
    driver_->remove(*this);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // All of it, in the course of the next steps if need be.
  void send(std::string_view bytes) {
    out_ += bytes;
    push();
  }
  void end_writing() {
    wants_end_ = true;
    push();
  }
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }
  // What has come is taken out of `in`.
  std::string take() {
    std::string taken;
    taken.swap(in);
    return taken;
  }
  [[nodiscard]] bool is_over() const { return has_end || was_reset; }
  [[nodiscard]] bool has_unsent() const { return !out_.empty(); }

  int descriptor() const override { return descriptor_; }
  short wish() const override {
    return static_cast<short>((reads && !is_over() ? POLLIN : 0) | (out_.empty() ? 0 : POLLOUT));
  }
  void pump() override {
    push();
    char bytes[16384];
    while (descriptor_ >= 0 && reads && !is_over()) {
      const ssize_t count = ::recv(descriptor_, bytes, sizeof bytes, 0);
      if (count > 0) {
        in.append(bytes, static_cast<std::size_t>(count));
        received += static_cast<std::size_t>(count);
        continue;
      }
      if (count == 0) has_end = true;
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno != EAGAIN) was_reset = true;
      return;
    }
  }

  std::string in;
  std::size_t received = 0;
  bool has_end = false;
  bool was_reset = false;
  bool reads = true;

 private:
  void push() {
    while (descriptor_ >= 0 && !out_.empty()) {
      const ssize_t count = ::send(descriptor_, out_.data(), out_.size(), MSG_NOSIGNAL);
      if (count <= 0) {
        if (errno != EAGAIN) out_.clear();
        return;
      }
      out_.erase(0, static_cast<std::size_t>(count));
    }
    if (wants_end_ && descriptor_ >= 0) {
      wants_end_ = false;
      ::shutdown(descriptor_, SHUT_WR);
    }
  }

  LoopDriver* driver_;
  int descriptor_;
  std::string out_;
  bool wants_end_ = false;
};

// A bound socket of the test on a free port; listening unless refuse() was called.
class PeerListener final : public Pumped {
 public:
  explicit PeerListener(LoopDriver& driver) : driver_(&driver) {
    descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
    ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    driver.add(*this);
  }
  ~PeerListener() override {
    ::close(descriptor_);
    driver_->remove(*this);
  }
  PeerListener(const PeerListener&) = delete;
  PeerListener& operator=(const PeerListener&) = delete;

  // Until then connecting is refused.
  PeerListener& listen() {
    if (::listen(descriptor_, 64) != 0) std::abort();
    is_listening_ = true;
    return *this;
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

  int descriptor() const override { return is_listening_ ? descriptor_ : -1; }
  short wish() const override { return POLLIN; }
  void pump() override {
    while (is_listening_) {
      const int accepted = ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC);
      if (accepted < 0) return;
      peers.push_back(std::make_unique<Peer>(*driver_, accepted));
    }
  }

  std::vector<std::unique_ptr<Peer>> peers;  // in the order of connecting

 private:
  LoopDriver* driver_;
  int descriptor_ = -1;
  std::uint16_t port_ = 0;
  bool is_listening_ = false;
};

}  // namespace portunus::test
