#include "net/stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"

namespace portunus::net {

// A write that waits for the socket. Allocated only when a peer is slower than we are.
struct Stream::WriteRequest {
  uv_write_t request;
  std::size_t size;
};

namespace {

constexpr std::size_t kVectors = 16;
constexpr unsigned kDoublingsMax = 3;  // of what one read may bring: up to the whole buffer
static_assert(Loop::kReadMin << kDoublingsMax == Loop::kReadBuffer);

base::Error read_failure(ssize_t code) {
  using base::EndReason;
  if (code == UV_EOF) return {};
  return {EndReason::upstream_reset, base::Side::internal, base::Retry::no,
          code == UV_ETIMEDOUT ? "connection timed out" : "connection reset"};
}

base::Error connect_failure(int code) {
  using base::EndReason;
  const char* detail = "connect failed";
  if (code == UV_ECONNREFUSED) detail = "connection refused";
  if (code == UV_EHOSTUNREACH || code == UV_ENETUNREACH) detail = "no route to the member";
  if (code == UV_ETIMEDOUT) detail = "connect timed out";
  auto side = base::Side::internal;  // our own want says nothing about the member
  if (code == UV_EMFILE || code == UV_ENFILE) {
    detail = "out of file descriptors";
  } else if (code == UV_EADDRNOTAVAIL) {
    detail = "out of local ports";
  } else if (code == UV_ENOMEM || code == UV_ENOBUFS) {
    detail = "out of memory for sockets";
  } else {
    side = base::Side::upstream;
  }
  return {EndReason::upstream_connect, side, base::Retry::unsent, detail};
}

}  // namespace

Stream::Stream(Loop& loop, StreamOwner& owner)
    : loop_(&loop), owner_(&owner), unsent_(loop.chunks()) {
  uv_tcp_init(loop.uv(), &tcp_);
  tcp_.data = this;
}

struct Stream::ConnectRequest {
  uv_connect_t request;
  Stream* stream;
};

bool Stream::adopt(int descriptor) {
  if (uv_tcp_open(&tcp_, descriptor) != 0) {
    ::close(descriptor);
    return false;
  }
  descriptor_ = descriptor;
  return true;
}

void Stream::learn_descriptor() {
  uv_os_fd_t descriptor = -1;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(&tcp_), &descriptor) == 0) descriptor_ = descriptor;
}

void Stream::connect(const Address& address) {
  sockaddr_storage target;
  address.to_sockaddr(target);
  auto* request = new ConnectRequest{};  // allow(new): once per connection, gone when it stands
  request->stream = this;
  const int failure = uv_tcp_connect(&request->request, &tcp_,
                                     reinterpret_cast<const sockaddr*>(&target), &on_connect);
  if (failure == 0) return;
  delete request;              // allow(new): see above
  connect_failure_ = failure;  // no descriptor, no local port: told at the end of the poll
  loop_->flush_later(*this);
}

void Stream::on_connect(uv_connect_t* request, int status) {
  auto* connecting = reinterpret_cast<ConnectRequest*>(request);
  Stream* self = connecting->stream;
  delete connecting;  // allow(new): see connect()
  const Loop::Turn turn(*self->loop_);
  if (self->closing_) return;
  if (status == 0) {
    self->learn_descriptor();
    uv_tcp_nodelay(&self->tcp_, 1);
    if (!self->unsent_.empty()) self->loop_->flush_later(*self);
    if (self->tls_ == nullptr) {
      self->owner_->on_connected({});
    } else {
      self->set_reading(true);
      self->owner_->on_reached();
      self->greet();
    }
    return;
  }
  self->owner_->on_connected(connect_failure(status));
}

void Stream::set_reading(bool on) {
  if (on == reading_ || closing_) return;
  reading_ = on;
  if (on) {
    uv_read_start(stream(), &Stream::on_alloc, &Stream::on_read);
  } else {
    uv_read_stop(stream());
    full_reads_ = 0;  // the other side is slow: what it does not take has to be kept
  }
}

void Stream::on_alloc(uv_handle_t* handle, std::size_t /*hint*/, uv_buf_t* buffer) {
  auto* self = static_cast<Stream*>(handle->data);
  const std::span<char> shared = self->loop_->read_buffer(self->full_reads_);
  buffer->base = shared.data();
  // A handshake is dear: only so many between two polls, so that those who are served go on.
  const bool waits =
      self->tls_ != nullptr && !self->tls_->is_open() && !self->loop_->may_shake_hands();
  buffer->len = self->yields_ || waits ? 0 : shared.size();
}

void Stream::on_read(uv_stream_t* handle, ssize_t count, const uv_buf_t* buffer) {
  auto* self = static_cast<Stream*>(handle->data);
  if (count == 0) return;
  if (count == UV_ENOBUFS) {  // on_alloc let the other connections have their turn
    self->yields_ = false;
    return;
  }
  const Loop::Turn turn(*self->loop_);
  if (count > 0) {
    // libuv would read on at once, up to 32 times; a fast sender would starve everybody else, and
    // the receiver would go to sleep and be woken for each slice.
    const auto size = static_cast<std::size_t>(count);
    self->yields_ = size == buffer->len;
    if (self->yields_ && self->full_reads_ < kDoublingsMax) ++self->full_reads_;
    self->loop_->count_read(size);
    if (self->tls_ == nullptr) {
      self->owner_->on_bytes({buffer->base, size});
    } else {
      self->read_sealed({buffer->base, size});
    }
    return;
  }
  // A write that met the reset first has taken the socket's error: what is left looks like a FIN.
  const bool is_cut = self->failed_ && count == UV_EOF;
  self->end_reading(is_cut ? read_failure(UV_EPIPE) : read_failure(count));
}

void Stream::end_reading(base::Error why) {
  reading_ = false;
  uv_read_stop(stream());
  if (tls_ == nullptr) {
    owner_->on_end(why);
  } else {
    end_sealed(why);
  }
}

void Stream::write(std::span<const char> bytes) {
  if (closing_ || failed_ || ending_) return;
  if (tls_ != nullptr) {
    write_sealed(bytes);
    return;
  }
  if (blocked_ != nullptr) {
    unsent_.append(bytes);
    return;
  }
  if (bytes.size() <= kGatherMax) {
    unsent_.append(bytes);
    // What is gathered must stay far below the mark at which the source is stopped: on_drained() comes
    // only after a write that was blocked.
    if (unsent_.size() < kLowMark) {
      loop_->flush_later(*this);
      return;
    }
    bytes = {};
  }
  write_through(bytes);
}

void Stream::flush() {
  if (closing_ || blocked_ != nullptr) return;
  if (connect_failure_ != 0) {
    owner_->on_connected(connect_failure(std::exchange(connect_failure_, 0)));
  } else if (greets_later_) {
    greet();
  } else if (!failed_) {
    send_queue();
  } else if (!reading_) {
    owner_->on_end(read_failure(UV_EPIPE));
  }
}

// While reading is on, the read side tells the owner: an answer may still lie in the socket, and
// behind it the end or the reset. While it is off, nobody else would.
void Stream::fail_writing() {
  failed_ = true;
  unsent_.clear();
  if (tls_ != nullptr) tls_->plain().clear();
  if (finishing_) {
    close();
    return;
  }
  if (!reading_) loop_->flush_later(*this);
}

// Writes the queue and then `slice`; keeps the tail.
void Stream::write_through(std::span<const char> slice) {
  std::array<iovec, kVectors> vectors;
  const std::size_t queued = unsent_.size();
  std::size_t count = unsent_.fill(std::span(vectors).first(kVectors - 1));
  std::size_t in_vectors = 0;
  for (std::size_t i = 0; i < count; ++i)
    in_vectors += vectors[i].iov_len;
  // A queue too long for one call goes first, alone.
  const bool with_slice = in_vectors == queued && !slice.empty();
  if (with_slice) vectors[count++] = {const_cast<char*>(slice.data()), slice.size()};
  if (count > 0) {
    const ssize_t written = send_now(std::span(vectors).first(count));
    if (written < 0 && errno != EAGAIN) {
      fail_writing();
      return;
    }
    const auto sent = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
    bytes_sent_ += sent;
    const std::size_t from_queue = std::min(sent, queued);
    unsent_.drain(from_queue);
    slice = slice.subspan(sent - from_queue);
  }
  if (!slice.empty()) unsent_.append(slice);
  if (!unsent_.empty()) {
    start_blocked_write();
  } else {
    after_queue_emptied();
  }
}

// Only while nothing waits in libuv: what it queues must leave first.
ssize_t Stream::send_now(std::span<iovec> vectors) {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  while (true) {
    ssize_t sent = 0;
    if (vectors.size() == 1) {
      sent = ::send(descriptor_, vectors[0].iov_base, vectors[0].iov_len, kFlags);
    } else {
      msghdr message{};
      message.msg_iov = vectors.data();
      message.msg_iovlen = vectors.size();
      sent = ::sendmsg(descriptor_, &message, kFlags);
    }
    if (sent >= 0 || errno != EINTR) return sent;
  }
}

void Stream::start_blocked_write() {
  std::array<iovec, kVectors> vectors;
  const std::size_t count = unsent_.fill(vectors);
  std::size_t size = 0;
  for (std::size_t i = 0; i < count; ++i)
    size += vectors[i].iov_len;
  blocked_ = new WriteRequest{};  // allow(new): only when a peer is slower than we are
  blocked_->size = size;
  blocked_->request.data = this;
  const int failure =
      uv_write(&blocked_->request, stream(), reinterpret_cast<uv_buf_t*>(vectors.data()),
               static_cast<unsigned>(count), &Stream::on_written);
  if (failure != 0) {
    delete blocked_;  // allow(new): see above
    blocked_ = nullptr;
    fail_writing();
  }
}

void Stream::on_written(uv_write_t* request, int status) {
  auto* self = static_cast<Stream*>(request->data);
  auto* blocked = reinterpret_cast<WriteRequest*>(request);
  const Loop::Turn turn(*self->loop_);
  const std::size_t size = blocked->size;
  self->blocked_ = nullptr;
  delete blocked;  // allow(new): see start_blocked_write
  if (self->closing_) return;
  if (status != 0) {
    self->fail_writing();
    return;
  }
  self->bytes_sent_ += size;
  self->unsent_.drain(size);
  self->send_queue();
  if (!self->closing_ && !self->failed_ && self->unsent() <= kLowMark) self->owner_->on_drained();
}

void Stream::send_queue() {
  if (tls_ == nullptr) {
    write_through({});
  } else {
    seal_and_send({});
  }
}

bool Stream::has_input() const {
  char byte = 0;
  const ssize_t count = ::recv(descriptor_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return !(count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

void Stream::end_writing() {
  if (ending_ || closing_ || failed_) return;  // a failure is told once
  ending_ = true;
  if (blocked_ == nullptr) loop_->flush_later(*this);
}

void Stream::finish() {
  finishing_ = true;
  if (failed_) {
    close();
  } else if (blocked_ == nullptr) {
    loop_->flush_later(*this);
  }
}

void Stream::after_queue_emptied() {
  if (tls_ != nullptr && (finishing_ || ending_)) {
    if (tls_->unsealed() > 0 && tls_->is_open()) return;  // its turn comes
    if (tls_->seal_end()) {
      write_through({});
      return;
    }
  }
  if (finishing_) {
    close();
  } else if (ending_) {
    send_fin();
  }
}

std::uint64_t Stream::bytes_sent() const {
  if (blocked_ == nullptr) return bytes_sent_;
  return bytes_sent_ + blocked_->size -
         uv_stream_get_write_queue_size(reinterpret_cast<const uv_stream_t*>(&tcp_));
}

void Stream::send_fin() {
  if (ended_ || failed_) return;
  ended_ = true;
  // uv_shutdown would need a request that outlives us; the queue is empty here, so this is the
  // same.
  ::shutdown(descriptor_, SHUT_WR);
}

void Stream::close() {
  if (closing_) return;
  closing_ = true;
  reading_ = false;
  uv_close(reinterpret_cast<uv_handle_t*>(&tcp_), &Stream::on_close);
}

void Stream::abort() {
  if (closing_) return;
  const linger hard{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  failed_ = true;
  close();
}

void Stream::on_close(uv_handle_t* handle) {
  auto* self = static_cast<Stream*>(handle->data);
  const Loop::Turn turn(*self->loop_);
  self->unsent_.clear();
  self->owner_->on_closed();
}

}  // namespace portunus::net
