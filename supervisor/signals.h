// The process's signals as events on a loop, read from a descriptor. One thread.
#pragma once

#include <uv.h>

namespace portunus::supervisor {

class SignalHandler {
 public:
  virtual void on_signal(int number) = 0;

 protected:
  ~SignalHandler() = default;
};

// A signal at a bad moment must not end the process by its default action, nor break off a system
// call: all that the program takes are held back in every thread, from the start to the end of the
// process. Many of one kind that nobody has read yet are one.
void hold_signals();
// Before there is anything to stop in order, and while a slow resolver is asked, TERM, INT and QUIT
// may end the process at once. hold_signals() ends that.
void release_stop_signals();

class Signals {
 public:
  // CHLD, HUP, USR1, USR2, TERM, INT, QUIT. They must be held; those held already come first.
  Signals(uv_loop_t& loop, SignalHandler& handler);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() = default;
  // No event any more. The object may go once the loop has ended.
  void stop();
  // False: no descriptor was left, and no signal will be received.
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }

 private:
  void read_all();

  int descriptor_ = -1;
  uv_poll_t poll_;
  SignalHandler& handler_;
};

}  // namespace portunus::supervisor
