#include "base/output_file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/clock.h"

namespace portunus::base {
namespace {

constexpr int kNone = -1;
constexpr int kPollMs = 50;
// A pipe that polls as writable takes this much without blocking (POSIX: PIPE_BUF).
constexpr std::size_t kPipeBytes = 4096;

// Our parent's pipe or terminal must not become non-blocking for everybody who shares it: where
// /proc lets us, we take a description of our own. A file is shared as it is, because of its
// position.
int open_standard(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
    const char* const path = fd == STDOUT_FILENO ? "/proc/self/fd/1" : "/proc/self/fd/2";
    const int own = ::open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (own >= 0) return own;
  }
  return ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int open_descriptor(const std::string& output) {
  if (output == "stderr") return open_standard(STDERR_FILENO);
  if (output == "stdout") return open_standard(STDOUT_FILENO);
  // O_NONBLOCK: a FIFO without a reader is an error here and not an endless wait.
  return ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                0640);
}

}  // namespace

void block_signals() {
  sigset_t all;
  sigfillset(&all);
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT})
    sigdelset(&all, number);  // a crash must not be silent
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

OutputFile::~OutputFile() {
  if (const int pending = pending_.exchange(kNone); pending != kNone) ::close(pending);
  if (fd_ != kNone) ::close(fd_);
}

bool OutputFile::open(const std::string& output, std::string& reason) {
  const std::scoped_lock lock(mutex_);  // allow(lock): control thread
  const int fd = open_descriptor(output);
  if (fd < 0) {
    reason = "cannot open " + output + ": " + strerrordesc_np(errno);
    return false;
  }
  output_ = output;
  if (const int unused = pending_.exchange(fd); unused != kNone) ::close(unused);
  return true;
}

bool OutputFile::reopen(std::string& reason) {
  std::string output;
  {
    const std::scoped_lock lock(mutex_);  // allow(lock): control thread
    output = output_;
  }
  if (output.empty() || output == "stderr" || output == "stdout") return true;
  return open(output, reason);
}

void OutputFile::take_pending() {
  const int pending = pending_.exchange(kNone);
  if (pending == kNone) return;
  if (fd_ != kNone) ::close(fd_);
  fd_ = pending;
  is_torn_ = false;
  struct stat status{};
  const bool is_known = ::fstat(fd_, &status) == 0;
  is_socket_ = is_known && S_ISSOCK(status.st_mode);
  may_block_ = !is_socket_ && !(is_known && S_ISREG(status.st_mode)) &&
               (::fcntl(fd_, F_GETFL) & O_NONBLOCK) == 0;
}

// Ends early when there is another output to go to, or at the deadline of give_up_at().
bool OutputFile::wait_writable() {
  while (true) {
    const std::uint64_t deadline = give_up_ns_.load(std::memory_order_relaxed);
    const bool is_last = pending_.load(std::memory_order_relaxed) != kNone ||
                         (deadline != 0 && monotonic_ns() >= deadline);
    pollfd entry{fd_, POLLOUT, 0};
    const int ready = ::poll(&entry, 1, is_last ? 0 : kPollMs);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // write() will say what is wrong
    if (is_last) {
      errno = EAGAIN;
      return false;
    }
  }
}

std::size_t OutputFile::write_all(std::string_view bytes) {
  const std::size_t all = bytes.size();
  while (!bytes.empty()) {
    if (may_block_ && !wait_writable()) break;
    const std::size_t size = may_block_ ? std::min(bytes.size(), kPipeBytes) : bytes.size();
    const ssize_t written = is_socket_
                                ? ::send(fd_, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : ::write(fd_, bytes.data(), size);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN && wait_writable()) continue;
      break;
    }
    if (written > 0) is_torn_ = bytes[static_cast<std::size_t>(written) - 1] != '\n';
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (!bytes.empty()) last_error_ = strerrordesc_np(errno);
  return all - bytes.size();
}

std::size_t OutputFile::write(std::string_view lines) {
  take_pending();
  if (fd_ == kNone) {
    last_error_ = "not open";
    return 0;
  }
  if (is_torn_ && write_all("\n") == 0) return 0;
  return write_all(lines);
}

}  // namespace portunus::base
