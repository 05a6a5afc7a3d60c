// What the service manager is told over $NOTIFY_SOCKET, as in sd_notify(3): that the service is
// ready, reloads, stops, how it is, and that it is alive. Without that variable nothing is sent.
// What cannot be sent within a second is lost: the manager has time-outs for that. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace portunus::supervisor {

class Notifier {
 public:
  // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child
  // speaks for us. Before there are threads.
  Notifier();
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Puts the variables back, for this very process when it executes another program.
  void give_back() const;
  static void take_back();  // it did not

  // Ends what reloading() began, too.
  void ready(std::string_view status);
  void reloading();
  void stopping();
  void alive();
  // How often alive() is due: half of what the manager waits for; 0: it does not.
  [[nodiscard]] std::uint64_t alive_every_ms() const { return alive_every_ms_; }

 private:
  void send(std::string_view message) const;

  int socket_ = -1;
  std::string address_;  // abstract ones begin with NUL
  std::uint64_t alive_every_ms_ = 0;
};

}  // namespace portunus::supervisor
