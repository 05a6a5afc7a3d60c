#include "proxy/control_call.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "supervisor/unix_address.h"

namespace portunus::proxy {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kAnswerLineMax = std::size_t{16} * 1024 * 1024;  // more than an answer has

class Connection {
 public:
  Connection(std::string path, std::chrono::milliseconds timeout)
      : path_(std::move(path)),
        timeout_(timeout),
        deadline_ns_(base::monotonic_ns() +
                     static_cast<std::uint64_t>(timeout.count()) * 1'000'000) {}
  ~Connection() {
    if (socket_ >= 0) ::close(socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool open() {
    const supervisor::UnixAddress address(path_);
    if (address.is_set()) socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // Of a supervisor that does not accept; connect() then says EAGAIN.
    const timeval patience{timeout_.count() / 1000, timeout_.count() % 1000 * 1000};
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return socket_ >= 0 && ::connect(socket_, address.get(), address.size()) == 0;
  }
  // A supervisor that refuses has closed already: its answer is read all the same.
  void send(const std::string& line) const {
    static_cast<void>(::send(socket_, line.data(), line.size(), MSG_NOSIGNAL));
  }
  enum class Read : std::uint8_t { line, end, late };
  Read read(std::string& line) {
    while (true) {
      if (const std::size_t end = unread_.find('\n'); end != std::string::npos) {
        line = unread_.substr(0, end);
        unread_.erase(0, end + 1);
        return Read::line;
      }
      const std::uint64_t now = base::monotonic_ns();
      pollfd wanted{socket_, POLLIN, 0};
      const std::uint64_t left_ms = now >= deadline_ns_ ? 0 : (deadline_ns_ - now) / 1'000'000 + 1;
      const int ready =
          ::poll(&wanted, 1, static_cast<int>(std::min<std::uint64_t>(left_ms, 3'600'000)));
      if (ready < 0 && errno == EINTR) continue;
      if (ready == 0 && left_ms <= 3'600'000) return Read::late;
      if (ready == 0) continue;
      std::array<char, 16384> part;
      const ssize_t size = ::read(socket_, part.data(), part.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0 || unread_.size() > kAnswerLineMax) return Read::end;
      unread_.append(part.data(), static_cast<std::size_t>(size));
    }
  }

 private:
  std::string path_;
  std::chrono::milliseconds timeout_;
  std::uint64_t deadline_ns_;
  int socket_ = -1;
  std::string unread_;
};

std::string text_of(const ControlRequest& request) {
  Json object{{"verb", request.verb}, {"service", request.service}};
  if (request.replicas) object["replicas"] = *request.replicas;
  if (request.waits) object["wait"] = true;
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

// The last object of an answer.
std::optional<ControlOutcome> outcome_of(const std::string& line) {
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return ControlOutcome{exit_unreachable, "the answer is no JSON object"};
  try {
    if (!object.value("done", false)) return std::nullopt;
    if (object.value("ok", false)) return ControlOutcome{};
    return ControlOutcome{exit_refused, object.value("error", "refused")};
  } catch (const Json::exception&) {
    return ControlOutcome{exit_unreachable, "the answer is not a supervisor's"};
  }
}

}  // namespace

ControlOutcome call_supervisor(const std::string& socket,
                               const ControlRequest& request,
                               std::chrono::milliseconds timeout,
                               AnswerHandler& handler) {
  Connection connection(socket, timeout);
  if (!connection.open()) {
    if (errno == EAGAIN) return {exit_timed_out, "the supervisor does not answer at " + socket};
    return {exit_unreachable, "the supervisor does not answer at " + socket + ": " +
                                  strerrordesc_np(errno) +
                                  "\n          Is `portunus run` running?"};
  }
  connection.send(text_of(request));
  std::string line;
  while (true) {
    switch (connection.read(line)) {
      case Connection::Read::late:
        return {exit_timed_out, "no end within the time-out"};
      case Connection::Read::end:
        return {exit_unreachable, "the supervisor has closed the connection"};
      case Connection::Read::line:
        break;
    }
    if (auto outcome = outcome_of(line)) return *outcome;
    if (!handler.on_answer(line)) return {exit_refused, "the output cannot be written"};
  }
}

}  // namespace portunus::proxy
