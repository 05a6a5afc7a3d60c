// A one-shot timer of the supervisor's loop. Not net::Deadline: that one's wheel ticks, and an idle
// supervisor sleeps. Owned by what it wakes; one thread. The loop runs until the handle has closed,
// which is why the handle is not the object's own memory.
#pragma once

#include <uv.h>

#include <cstdint>

namespace portunus::supervisor {

class Timer {
 public:
  // `wake` is called with `owner`, never from within a method of this class.
  Timer(uv_loop_t& loop, void* owner, void (*wake)(void* owner))
      : handle_(new uv_timer_t), owner_(owner), wake_(wake) {
    uv_timer_init(&loop, handle_);
    handle_->data = this;
  }
  ~Timer() {
    uv_close(reinterpret_cast<uv_handle_t*>(handle_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_timer_t*>(handle); });
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void arm(std::uint64_t after_ms) {
    uv_update_time(handle_->loop);
    uv_timer_start(
        handle_,
        [](uv_timer_t* handle) {
          const auto* self = static_cast<Timer*>(handle->data);
          self->wake_(self->owner_);
        },
        after_ms, 0);
  }
  void disarm() { uv_timer_stop(handle_); }
  [[nodiscard]] bool is_armed() const {
    return uv_is_active(reinterpret_cast<const uv_handle_t*>(handle_)) != 0;
  }

 private:
  uv_timer_t* handle_;
  void* owner_;
  void (*wake_)(void*);
};

}  // namespace portunus::supervisor
