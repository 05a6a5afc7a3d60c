#include "supervisor/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace portunus::supervisor {
namespace {

constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(int) * Channel::kDescriptorsMax);

std::vector<int> descriptors_of(msghdr& header) {
  std::vector<int> found;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const std::size_t known = found.size();
    found.resize(known + count);
    std::memcpy(found.data() + known, CMSG_DATA(part), count * sizeof(int));
  }
  return found;
}

}  // namespace

std::pair<int, int> Channel::make_pair() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return {-1, -1};
  }
  return {ends[0], ends[1]};
}

Channel::Channel(uv_loop_t& loop, int descriptor, ChannelHandler& handler)
    : poll_(new uv_poll_t), descriptor_(descriptor), handler_(handler) {
  const int room = static_cast<int>(2 * kPacketMax);
  ::setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  if (uv_poll_init(&loop, poll_, descriptor) != 0) {
    delete poll_;
    poll_ = nullptr;
    ::close(descriptor_);
    descriptor_ = -1;
    return;
  }
  poll_->data = this;
  poll();
}

Channel::~Channel() {
  close();
}

void Channel::close() {
  if (descriptor_ < 0) return;
  uv_close(reinterpret_cast<uv_handle_t*>(poll_),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
  ::close(descriptor_);
  descriptor_ = -1;
  for (const Waiting& message : waiting_) {
    for (const int each : message.descriptors)
      ::close(each);
  }
  waiting_.clear();
}

void Channel::wait(int patience_ms) {
  pollfd wanted{descriptor_, POLLIN, 0};
  if (::poll(&wanted, 1, patience_ms) > 0) read_all();
}

void Channel::fail() {
  if (descriptor_ < 0) return;
  close();
  handler_.on_channel_closed();
}

void Channel::poll() {
  const int events = UV_READABLE | (waiting_.empty() ? 0 : UV_WRITABLE);
  uv_poll_start(poll_, events, [](uv_poll_t* poll, int status, int happened) {
    static_cast<Channel*>(poll->data)->on_event(status, happened);
  });
}

void Channel::on_event(int status, int events) {
  if (status < 0) {
    fail();
    return;
  }
  if ((events & UV_WRITABLE) != 0) write_waiting();
  if ((events & UV_READABLE) != 0 && descriptor_ >= 0) read_all();
}

void Channel::read_all() {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPacketMax);
  // A bound for one turn: the other side may write without end.
  for (int count = 0; count < 64 && descriptor_ >= 0; ++count) {
    alignas(cmsghdr) std::array<char, kControlSize> control;
    iovec part{buffer.get(), kPacketMax};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(descriptor_, &header, MSG_CMSG_CLOEXEC);
    // A reset means that the other side has ended with messages unread: its own are still here.
    if (size < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (size <= 0) {
      fail();
      return;
    }
    std::vector<int> descriptors = descriptors_of(header);
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
      for (const int each : descriptors)
        ::close(each);
      // For want of descriptors: without what was to come with it, the message says nothing. The
      // other side has done nothing wrong.
      if ((header.msg_flags & MSG_TRUNC) == 0) continue;
      fail();
      return;
    }
    handler_.on_packet({buffer.get(), static_cast<std::size_t>(size)}, std::move(descriptors));
  }
}

Channel::Sent Channel::try_send(std::string_view text, std::span<const int> descriptors) const {
  alignas(cmsghdr) std::array<char, kControlSize> control{};
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  while (true) {
    if (::sendmsg(descriptor_, &header, MSG_NOSIGNAL) >= 0) return Sent::yes;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? Sent::later : Sent::never;
  }
}

bool Channel::send(std::string_view text, std::span<const int> descriptors) {
  if (descriptor_ < 0 || text.empty() || text.size() > kPacketMax) return false;
  if (descriptors.size() > kDescriptorsMax) return false;
  if (waiting_.empty()) {
    const Sent sent = try_send(text, descriptors);
    if (sent == Sent::yes) return true;
    if (sent == Sent::never) return false;  // the next read tells that the channel has closed
  }
  if (waiting_.size() >= kWaitingMax) {
    // Not at once: the caller may be in the middle of something. The next read finds the end.
    ::shutdown(descriptor_, SHUT_RDWR);
    return false;
  }
  Waiting message{std::string(text), {}};
  for (const int each : descriptors)
    message.descriptors.push_back(::fcntl(each, F_DUPFD_CLOEXEC, 0));
  waiting_.push_back(std::move(message));
  poll();
  return true;
}

void Channel::write_waiting() {
  while (!waiting_.empty()) {
    const Waiting& first = waiting_.front();
    if (try_send(first.text, first.descriptors) == Sent::later) return;
    for (const int each : first.descriptors)
      ::close(each);
    waiting_.pop_front();
  }
  poll();
}

}  // namespace portunus::supervisor
