// The frames that a session has to send, gathered into the loop's scratch memory and written from
// there: as much as the socket is likely to take, from all streams, in the order of their priorities.
// For the sources of HTTP/2. A part of one connection; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

struct nghttp2_session;

namespace portunus::net {
class Stream;
}  // namespace portunus::net

namespace portunus::http {

template <typename Connection, typename StreamOfIt>
struct H2CommonCallbacks;

class H2Output {
 public:
  // What is in the socket's queue at most before frames are made of more; bytes.
  static constexpr std::size_t kHigh = std::size_t{64} * 1024;

  // False: nghttp2 has failed for good.
  [[nodiscard]] bool make(nghttp2_session* native, net::Stream& tcp);
  // From within make(), one DATA frame: room for its header, which is put there, and for `size` bytes
  // of the body behind it. Null: full for now, which nghttp2 is to be told (NGHTTP2_ERR_WOULDBLOCK).
  [[nodiscard]] char* begin_data(const std::uint8_t* header, std::size_t size);

 private:
  void write_out(net::Stream& tcp);

  std::span<char> memory_;  // while output is made
  std::size_t size_ = 0;
  bool is_full_ = false;
};

}  // namespace portunus::http
