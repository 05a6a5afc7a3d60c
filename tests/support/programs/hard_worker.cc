// A service's program for the end-to-end tests, which does what services should not. One thread, as
// node has; a connection carries one request. Usage: hard_worker PORT [WORD...]
//
//   /            its process id              /leak       takes memory until it gets no more
//   /health      "well", at once             /hang       from now on takes connections, never answers
//   /wait/MS     the process id, then        /fork/N     N children in its process group, each with
//   /spin/MS     the same, busy until then               a child of its own; all ignore TERM
//   /exit/CODE   ends at once                /flee       a child in a process group of its own
//   /abort       the same, by SIGABRT        /stubborn   from now on TERM is ignored
//   /flood/MB    that much to its output; answers "ALL LONGEST", the milliseconds that all writes and
//                the longest one took
//
// WORD, at the start: "crash" ends with SIGABRT, "exit=CODE" with that status, "stubborn" as above.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

struct Connection {
  int descriptor = -1;
  std::string request;
  Clock::time_point due{};  // when it is answered
  bool is_asked = false;
  bool is_over = false;
};

void check(bool is_well, const char* what) {
  if (is_well) return;
  std::perror(what);
  std::_Exit(70);
}

std::int64_t number_in(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::strtoll(std::string(path.substr(slash + 1)).c_str(), nullptr, 10);
}

void answer(Connection& connection, const std::string& body) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  // Short, and into an empty socket buffer: all of it goes at once, or the client has left.
  static_cast<void>(::send(connection.descriptor, text.data(), text.size(), MSG_NOSIGNAL));
  connection.is_over = true;
}

[[noreturn]] void leak() {
  std::set_new_handler([] {
    std::fputs("no more memory\n", stderr);
    std::abort();
  });
  std::vector<std::unique_ptr<char[]>> held;
  while (true) {
    held.push_back(std::make_unique<char[]>(kBlockBytes));
    std::memset(held.back().get(), 1, kBlockBytes);  // or it would only be promised
    ::usleep(500);
  }
}

[[noreturn]] void sleep_long() {
  std::signal(SIGTERM, SIG_IGN);
  ::alarm(300);  // should a test leave it behind
  while (true)
    ::pause();
}

void fork_children(std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    check(child >= 0, "fork");
    if (child != 0) continue;
    static_cast<void>(::fork());  // both stay
    sleep_long();
  }
}

void flee() {
  const pid_t child = ::fork();
  check(child >= 0, "fork");
  if (child != 0) return;
  ::setsid();
  sleep_long();
}

std::string flood(std::int64_t megabytes) {
  std::string block;
  while (block.size() < std::size_t{64} * 1024)
    block += std::string(99, 'x') + '\n';
  milliseconds all{0};
  milliseconds longest{0};
  for (std::size_t left = static_cast<std::size_t>(megabytes) << 20; left > 0;) {
    const auto begin = Clock::now();
    const ssize_t size = ::write(STDOUT_FILENO, block.data(), std::min(left, block.size()));
    check(size > 0, "write");
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
    all += took;
    longest = std::max(longest, took);
    left -= static_cast<std::size_t>(size);
  }
  return std::to_string(all.count()) + ' ' + std::to_string(longest.count());
}

void spin(milliseconds duration) {
  const auto end = Clock::now() + duration;
  while (Clock::now() < end) {
  }
}

class Server {
 public:
  explicit Server(std::uint16_t port) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(::bind(listener_, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0, "bind");
    check(::listen(listener_, 1024) == 0, "listen");
  }

  [[noreturn]] void run() {
    while (true) {
      std::vector<pollfd> wanted{{listener_, POLLIN, 0}};
      for (const Connection& connection : connections_)
        wanted.push_back({connection.descriptor, POLLIN, 0});
      ::poll(wanted.data(), wanted.size(), patience_ms());
      for (std::size_t i = 1; i < wanted.size(); ++i) {
        if (wanted[i].revents != 0) read(connections_[i - 1]);
      }
      if (wanted[0].revents != 0) accept();
      answer_due();
      std::erase_if(connections_, [](const Connection& connection) {
        if (connection.is_over) ::close(connection.descriptor);
        return connection.is_over;
      });
    }
  }

 private:
  [[nodiscard]] int patience_ms() const {
    auto patience = milliseconds{-1};
    for (const Connection& connection : connections_) {
      if (!connection.is_asked || is_hanging_) continue;
      const auto left = std::chrono::ceil<milliseconds>(connection.due - Clock::now());
      const auto wait = std::max(left, milliseconds{0});
      if (patience < milliseconds{0} || wait < patience) patience = wait;
    }
    return static_cast<int>(patience.count());
  }

  void accept() {
    Connection connection;
    connection.descriptor = ::accept(listener_, nullptr, nullptr);
    if (connection.descriptor >= 0) connections_.push_back(std::move(connection));
  }

  void read(Connection& connection) {
    std::array<char, 4096> bytes{};
    const ssize_t size = ::read(connection.descriptor, bytes.data(), bytes.size());
    if (size <= 0) {
      connection.is_over = true;
      return;
    }
    connection.request.append(bytes.data(), static_cast<std::size_t>(size));
    if (!connection.is_asked && !is_hanging_ &&
        connection.request.find("\r\n\r\n") != std::string::npos)
      serve(connection);
  }

  void serve(Connection& connection) {
    const std::string_view line = connection.request;
    const std::size_t begin = line.find(' ') + 1;
    const std::string_view path = line.substr(begin, line.find(' ', begin) - begin);
    connection.is_asked = true;
    connection.due = Clock::now();
    if (path == "/health") return answer(connection, "well");
    if (path.starts_with("/wait/")) connection.due += milliseconds(number_in(path));
    if (path.starts_with("/spin/")) spin(milliseconds(number_in(path)));
    if (path.starts_with("/exit/")) std::_Exit(static_cast<int>(number_in(path)));
    if (path == "/abort") std::abort();
    if (path == "/leak") leak();
    if (path == "/hang") is_hanging_ = true;
    if (path.starts_with("/fork/")) fork_children(number_in(path));
    if (path == "/flee") flee();
    if (path == "/stubborn") std::signal(SIGTERM, SIG_IGN);
    if (path.starts_with("/flood/")) answer(connection, flood(number_in(path)));
  }

  void answer_due() {
    if (is_hanging_) return;
    for (Connection& connection : connections_) {
      if (connection.is_asked && !connection.is_over && connection.due <= Clock::now())
        answer(connection, std::to_string(::getpid()));
    }
  }

  int listener_;
  std::vector<Connection> connections_;
  bool is_hanging_ = false;
};

}  // namespace

int main(int count, char** words) {
  ::prctl(PR_SET_DUMPABLE, 0);  // its crashes leave no cores
  for (int i = 2; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "crash") std::abort();
    if (word.starts_with("exit="))
      std::_Exit(static_cast<int>(std::strtol(words[i] + 5, nullptr, 10)));
    if (word == "stubborn") std::signal(SIGTERM, SIG_IGN);
  }
  const std::int64_t port = count > 1 ? std::strtoll(words[1], nullptr, 10) : 0;
  if (port <= 0 || port > 65535) return 64;
  std::printf("worker %d on port %d\n", static_cast<int>(::getpid()), static_cast<int>(port));
  std::fflush(stdout);
  Server(static_cast<std::uint16_t>(port)).run();
}
