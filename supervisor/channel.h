// The wire between the supervisor and a proxy: a pair of SOCK_SEQPACKET sockets, one message a
// packet, descriptors riding along. Both sides use this class on their own loop. What the other side
// does not read at once waits here, up to kWaitingMax messages; more means that it hangs, and the
// channel closes. One thread.
#pragma once

#include <uv.h>

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portunus::supervisor {

class ChannelHandler {
 public:
  // `descriptors` are the handler's from now on.
  virtual void on_packet(std::string_view text, std::vector<int> descriptors) = 0;
  // The other side has gone, or does not read. Nothing follows.
  virtual void on_channel_closed() = 0;

 protected:
  ~ChannelHandler() = default;
};

class Channel {
 public:
  static constexpr std::size_t kPacketMax = std::size_t{128} * 1024;
  static constexpr std::size_t kDescriptorsMax = 128;  // of one packet
  static constexpr std::size_t kWaitingMax = 256;

  // Two connected sockets, close-on-exec; {-1, -1} when there are no descriptors left.
  [[nodiscard]] static std::pair<int, int> make_pair();

  // Takes ownership of `descriptor`, which must be a socket.
  Channel(uv_loop_t& loop, int descriptor, ChannelHandler& handler);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // The descriptors stay the caller's. False when the channel is closed or the message too long.
  bool send(std::string_view text, std::span<const int> descriptors = {});
  void close();
  // Waits for the next packets, before the loop runs.
  void wait(int patience_ms);
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  struct Waiting {
    std::string text;
    std::vector<int> descriptors;  // our own copies
  };
  enum class Sent : std::uint8_t { yes, later, never };

  void on_event(int status, int events);
  void read_all();
  void write_waiting();
  [[nodiscard]] Sent try_send(std::string_view text, std::span<const int> descriptors) const;
  void poll();
  void fail();

  uv_poll_t* poll_ = nullptr;  // outlives the object until it has closed
  int descriptor_ = -1;
  ChannelHandler& handler_;
  std::deque<Waiting> waiting_;
};

}  // namespace portunus::supervisor
