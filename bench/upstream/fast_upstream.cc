// A very small HTTP/1.1 server for measurements: one thread, level-triggered epoll, answers made at
// start.
//
// It exists so that the upstream costs little next to the proxy that is measured. It trusts its
// peers (the proxies of bench/compare.py, on loopback), so it is no model for a server that faces
// anyone: it knows Content-Length but no transfer codings, and answers by the last segment of the
// path: 1k, 10k, 100k, anything else with 2 bytes.
//
// Usage: fast_upstream COUNT. Binds COUNT free ports of 127.0.0.1, prints them in one line, and
// serves until killed.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kHeadBytesMax = 64 * 1024;
constexpr std::size_t kDiscardBytes = 4 * 1024 * 1024;
constexpr int kEventsPerTurn = 256;

struct Connection {
  bool is_listener = false;
  bool is_waiting_for_write = false;
  bool closes_after_answer = false;
  std::string_view answer;      // whole answer to the request whose body is being read
  std::string_view unsent;      // what the socket has not taken of an answer
  std::uint64_t body_left = 0;  // bytes of the request's body still to come
  std::string pending;          // an incomplete head, or input that waits behind a blocked answer
};

struct Request {
  std::string_view path;
  std::uint64_t content_length = 0;
  bool close = false;
  bool has_transfer_encoding = false;
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::string make_answer(const char* status, std::size_t body_bytes) {
  std::string answer = "HTTP/1.1 ";
  answer += status;
  answer +=
      "\r\nServer: fast\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n"
      "Content-Type: application/octet-stream\r\nCache-Control: no-store\r\nContent-Length: ";
  answer += std::to_string(body_bytes);
  answer += "\r\n\r\n";
  answer.append(body_bytes, 'x');
  return answer;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

void read_field(std::string_view line, Request& request) {
  // Only names that begin with c or t matter; the first letter skips all others cheaply.
  const char first = static_cast<char>(line.front() | 0x20);
  if (first != 'c' && first != 't') return;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (equals_ignoring_case(name, "content-length")) {
    std::from_chars(value.data(), value.data() + value.size(), request.content_length);
  } else if (equals_ignoring_case(name, "connection")) {
    request.close = equals_ignoring_case(value, "close");
  } else if (equals_ignoring_case(name, "transfer-encoding")) {
    request.has_transfer_encoding = true;
  }
}

Request parse_head(std::string_view head) {
  Request request;
  std::size_t end = head.find("\r\n");
  const std::string_view start_line = head.substr(0, end);
  const std::size_t space = start_line.find(' ');
  if (space != std::string_view::npos) {
    request.path = start_line.substr(space + 1);
    request.path = request.path.substr(0, request.path.find(' '));
  }
  while (end + 2 < head.size()) {
    const std::size_t begin = end + 2;
    end = head.find("\r\n", begin);
    if (end == std::string_view::npos || end == begin) break;
    read_field(head.substr(begin, end - begin), request);
  }
  return request;
}

class Server {
 public:
  explicit Server(int port_count) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
    for (int i = 0; i < port_count; ++i)
      listen_on_free_port();
    std::printf("\n");
    std::fflush(stdout);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, kEventsPerTurn> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), kEventsPerTurn, -1);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (at(fd).is_listener) {
          accept_all(fd);
        } else if (at(fd).is_waiting_for_write) {
          on_writable(fd);
        } else {
          on_readable(fd);
        }
      }
    }
  }

 private:
  Connection& at(int fd) { return connections_[static_cast<std::size_t>(fd)]; }

  void watch(int fd, int operation, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, operation, fd, &event) < 0) fail("epoll_ctl");
  }

  void adopt(int fd, bool is_listener) {
    const auto index = static_cast<std::size_t>(fd);
    if (connections_.size() <= index) connections_.resize(index + 64);
    connections_[index] = Connection{};
    connections_[index].is_listener = is_listener;
    watch(fd, EPOLL_CTL_ADD, EPOLLIN);
  }

  void listen_on_free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (fd < 0 || bind(fd, generic, sizeof address) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, generic, &length) < 0) {
      fail("listen");
    }
    std::printf("%d ", ntohs(address.sin_port));
    adopt(fd, true);
  }

  void accept_all(int listener) {
    for (;;) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;  // none left; other errors concern one peer and are seen by it
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      adopt(fd, false);
    }
  }

  void drop(int fd) {
    close(fd);
    at(fd) = Connection{};
  }

  void on_readable(int fd) {
    Connection& connection = at(fd);
    if (connection.body_left > 0) {
      discard_body(fd);
      return;
    }
    const ssize_t got = recv(fd, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) {
      if (got == 0 || (errno != EAGAIN && errno != EINTR)) drop(fd);
      return;
    }
    const std::string_view input(buffer_.data(), static_cast<std::size_t>(got));
    if (connection.pending.empty()) {
      process(fd, input);
      return;
    }
    std::string joined = std::exchange(connection.pending, {});
    joined += input;
    process(fd, joined);
  }

  // MSG_TRUNC lets the kernel drop received bytes without copying them to us.
  void discard_body(int fd) {
    Connection& connection = at(fd);
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(connection.body_left, kDiscardBytes));
    const ssize_t got = recv(fd, nullptr, wanted, MSG_TRUNC);
    if (got <= 0) {
      if (got == 0 || (errno != EAGAIN && errno != EINTR)) drop(fd);
      return;
    }
    connection.body_left -= static_cast<std::uint64_t>(got);
    if (connection.body_left == 0) send_answer(fd);
  }

  void process(int fd, std::string_view input) {
    Connection& connection = at(fd);
    while (!input.empty()) {
      const std::size_t head_end = input.find("\r\n\r\n");
      if (head_end == std::string_view::npos) {
        if (input.size() > kHeadBytesMax) {
          drop(fd);
        } else {
          connection.pending = input;
        }
        return;
      }
      const Request request = parse_head(input.substr(0, head_end + 4));
      input.remove_prefix(head_end + 4);
      connection.answer = choose_answer(request);
      connection.closes_after_answer = request.close || request.has_transfer_encoding;
      const std::size_t here =
          static_cast<std::size_t>(std::min<std::uint64_t>(request.content_length, input.size()));
      input.remove_prefix(here);
      connection.body_left = request.content_length - here;
      if (connection.body_left > 0) return;
      if (!send_answer(fd)) return;
      if (connection.is_waiting_for_write) {
        connection.pending = input;
        return;
      }
    }
  }

  std::string_view choose_answer(const Request& request) const {
    if (request.has_transfer_encoding) return not_implemented_;
    const std::string_view name = request.path.substr(request.path.rfind('/') + 1);
    if (name == "1k") return answer_1k_;
    if (name == "10k") return answer_10k_;
    if (name == "100k") return answer_100k_;
    return answer_small_;
  }

  bool send_answer(int fd) {
    at(fd).unsent = at(fd).answer;
    return flush(fd);
  }

  // Returns false when the connection is gone.
  bool flush(int fd) {
    Connection& connection = at(fd);
    while (!connection.unsent.empty()) {
      const ssize_t sent =
          send(fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) {
        if (!connection.is_waiting_for_write) watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
        connection.is_waiting_for_write = true;
        return true;
      }
      if (sent < 0) {
        drop(fd);
        return false;
      }
      connection.unsent.remove_prefix(static_cast<std::size_t>(sent));
    }
    if (connection.closes_after_answer) {
      drop(fd);
      return false;
    }
    return true;
  }

  void on_writable(int fd) {
    if (!flush(fd)) return;
    Connection& connection = at(fd);
    if (!connection.unsent.empty()) return;
    connection.is_waiting_for_write = false;
    watch(fd, EPOLL_CTL_MOD, EPOLLIN);
    const std::string waiting = std::exchange(connection.pending, {});
    process(fd, waiting);
  }

  int epoll_;
  std::vector<Connection> connections_;  // by descriptor
  std::vector<char> buffer_ = std::vector<char>(kReadBytes);
  const std::string answer_1k_ = make_answer("200 OK", 1024);
  const std::string answer_10k_ = make_answer("200 OK", 10 * 1024);
  const std::string answer_100k_ = make_answer("200 OK", 100 * 1024);
  const std::string answer_small_ = make_answer("200 OK", 2);
  const std::string not_implemented_ = make_answer("501 Not Implemented", 0);
};

}  // namespace

int main(int argc, char** argv) {
  const int port_count = argc > 1 ? std::atoi(argv[1]) : 1;
  if (port_count < 1 || port_count > 64) {
    std::fprintf(stderr, "usage: %s COUNT (1 to 64 ports)\n", argv[0]);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  Server server(port_count);
  server.run();
}
