// The proxy's end of what it has to tell: to the supervisor over the Channel, or, when it was started
// alone, to the service manager. On the control thread's loop; the handler is called within a turn.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/loop.h"
#include "supervisor/channel.h"
#include "supervisor/message.h"
#include "supervisor/notify.h"

namespace portunus::supervisor {

class LinkHandler {
 public:
  // `descriptors` are the handler's from now on.
  virtual void on_message(const Message& message, std::vector<int> descriptors) = 0;
  // It has died or was killed; nobody will restart this process, and another one wants its ports.
  virtual void on_supervisor_gone() = 0;

 protected:
  ~LinkHandler() = default;
};

class Link final : public ChannelHandler {
 public:
  // `channel` < 0: there is no supervisor. The notifier is used then only.
  Link(net::Loop& loop, Notifier& notifier, int channel, LinkHandler& handler);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() = default;

  [[nodiscard]] bool is_supervised() const { return channel_ != nullptr; }
  void ready(std::string_view status);
  void reloading();
  void stopping();
  void alive();
  // How often alive() is due; 0: nobody waits for it.
  [[nodiscard]] std::uint64_t alive_every_ms() const;
  // False without a supervisor.
  bool send(const Message& message, std::span<const int> descriptors = {});
  // Before the loop runs: waits for the first message, which names the members of services.
  void wait_for_first();
  // Before Loop::stop().
  void stop();

 private:
  void on_packet(std::string_view text, std::vector<int> descriptors) override;
  void on_channel_closed() override;

  net::Loop& loop_;
  Notifier& notifier_;
  LinkHandler& handler_;
  std::unique_ptr<Channel> channel_;
};

}  // namespace portunus::supervisor
