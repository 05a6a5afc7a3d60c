// The process's signals as events on the control thread's loop. RAII; stop() before Loop::stop().
#pragma once

#include <uv.h>

#include <array>

#include "net/loop.h"

namespace portunus::proxy {

class SignalHandler {
 public:
  virtual void on_signal(int number) = 0;

 protected:
  ~SignalHandler() = default;
};

class Signals {
 public:
  // HUP, USR1, USR2, TERM, INT, QUIT; PIPE is ignored from here on.
  Signals(net::Loop& loop, SignalHandler& handler);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() = default;
  // The object may go once the loop has ended.
  void stop();

 private:
  std::array<uv_signal_t, 6> handles_;
  net::Loop& loop_;
  SignalHandler& handler_;
};

}  // namespace portunus::proxy
