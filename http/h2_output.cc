#include "http/h2_output.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "net/loop.h"
#include "net/stream.h"

namespace portunus::http {

namespace {

constexpr std::size_t kFrameHeader = 9;  // RFC 9113 section 4.1

}  // namespace

bool H2Output::make(nghttp2_session* native, net::Stream& tcp) {
  memory_ = tcp.loop().scratch();
  size_ = 0;
  while (tcp.unsent() <= kHigh) {
    is_full_ = false;
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(native, &bytes);
    if (size < 0) return false;
    if (size > 0) {
      const auto count = static_cast<std::size_t>(size);
      if (count > memory_.size() - size_) write_out(tcp);
      std::memcpy(memory_.data() + size_, bytes, std::min(count, memory_.size() - size_));
      size_ += count;
    } else if (is_full_) {
      write_out(tcp);
    } else {
      break;
    }
  }
  write_out(tcp);
  return true;
}

void H2Output::write_out(net::Stream& tcp) {
  if (size_ > 0) tcp.write(std::span<const char>(memory_.data(), size_));
  size_ = 0;
}

char* H2Output::begin_data(const std::uint8_t* header, std::size_t size) {
  if (kFrameHeader + size > memory_.size() - size_) {
    is_full_ = true;
    return nullptr;
  }
  char* const room = memory_.data() + size_;
  size_ += kFrameHeader + size;
  std::memcpy(room, header, kFrameHeader);
  return room + kFrameHeader;
}

}  // namespace portunus::http
