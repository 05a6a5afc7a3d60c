#include "proxy/signals.h"

#include <csignal>

namespace portunus::proxy {

Signals::Signals(net::Loop& loop, SignalHandler& handler) : loop_(loop), handler_(handler) {
  std::signal(SIGPIPE, SIG_IGN);
  constexpr std::array<int, 6> kNumbers{SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGQUIT};
  for (std::size_t i = 0; i < kNumbers.size(); ++i) {
    uv_signal_init(loop.uv(), &handles_[i]);
    handles_[i].data = this;
    uv_signal_start(
        &handles_[i],
        [](uv_signal_t* handle, int number) {
          auto* self = static_cast<Signals*>(handle->data);
          const net::Loop::Turn turn(self->loop_);
          self->handler_.on_signal(number);
        },
        kNumbers[i]);
  }
}

void Signals::stop() {
  for (uv_signal_t& handle : handles_)
    uv_close(reinterpret_cast<uv_handle_t*>(&handle), nullptr);
}

}  // namespace portunus::proxy
