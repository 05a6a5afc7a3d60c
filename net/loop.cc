#include "net/loop.h"

#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "net/tls_session.h"

namespace portunus::net {

Loop::Loop()
    : now_ns_(base::monotonic_ns()),
      timers_(now_ns_ / 1'000'000),
      read_buffer_(std::make_unique_for_overwrite<char[]>(kReadBuffer)),
      scratch_(std::make_unique_for_overwrite<char[]>(kScratch)) {
  CHECK(uv_loop_init(&loop_) == 0);
  loop_.data = this;
  CHECK(uv_timer_init(&loop_, &tick_) == 0);
  CHECK(uv_async_init(&loop_, &wake_, &Loop::on_wake) == 0);
  tick_.data = wake_.data = after_poll_.data = before_poll_.data = this;
  CHECK(uv_check_init(&loop_, &after_poll_) == 0);
  CHECK(uv_prepare_init(&loop_, &before_poll_) == 0);
  CHECK(uv_check_start(&after_poll_, [](uv_check_t* handle) {
          static_cast<Loop*>(handle->data)->flush_all();
        }) == 0);
  CHECK(uv_prepare_start(&before_poll_, [](uv_prepare_t* handle) {
          static_cast<Loop*>(handle->data)->flush_all();
        }) == 0);
  // The wheel's one system timer; it costs nothing but a time-out of epoll_wait.
  CHECK(uv_timer_start(&tick_, &Loop::on_tick, TimerWheel::kSlotMs, TimerWheel::kSlotMs) == 0);
}

Loop::~Loop() {
  {
    const std::lock_guard lock(posted_mutex_);  // allow(lock): see loop.h
    accepts_posts_ = false;
  }
  posted_.clear();
  close_handles();
  uv_run(&loop_, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&loop_) == 0);
}

void Loop::run() {
  uv_run(&loop_, UV_RUN_DEFAULT);
}

void Loop::stop() {
  std::vector<std::unique_ptr<Task>> dropped;  // nobody would wake to run them
  {
    const std::lock_guard lock(posted_mutex_);  // allow(lock): see loop.h
    accepts_posts_ = false;
    dropped.swap(posted_);
  }
  close_handles();
}

void Loop::close_handles() {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&tick_)) != 0) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&tick_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&wake_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&before_poll_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&after_poll_), nullptr);
  gathers_ = false;  // from now on each turn flushes for itself
}

bool Loop::post(std::unique_ptr<Task> task) {
  const std::lock_guard lock(posted_mutex_);  // allow(lock): see loop.h
  if (!accepts_posts_) return false;
  posted_.push_back(std::move(task));
  // Under the lock, so that the handle cannot be closed in between.
  uv_async_send(&wake_);
  return true;
}

std::span<char> Loop::read_buffer(unsigned doublings) {
  if (work_in_poll_ > kBytesPerPoll) return {read_buffer_.get(), kReadTired};
  const bool is_scarce = chunks_.in_use() > kScarceChunks || read_in_poll_ > kBytesPerPoll;
  return {read_buffer_.get(), is_scarce ? kReadMin : std::min(kReadMin << doublings, kReadBuffer)};
}

std::span<char> Loop::plain_buffer() {
  constexpr std::size_t kSize = kReadBuffer + TlsSession::kRecordMax;
  if (plain_buffer_ == nullptr) plain_buffer_ = std::make_unique_for_overwrite<char[]>(kSize);
  return {plain_buffer_.get(), kSize};
}

void Loop::begin_turn() {
  DCHECK(!in_turn_);
  in_turn_ = true;
  now_ns_ = base::monotonic_ns();
  timers_.set_now(now_ns_ / 1'000'000);
}

void Loop::flush_next(Flushable& output) {
  if (output.base::ListHook<Flushable>::is_linked()) return;
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&wake_)) != 0) return;  // nobody polls any more
  next_flushes_.push_back(output);
  uv_async_send(&wake_);
}

// Output of all the turns of one poll: see loop.h.
void Loop::flush_all() {
  read_in_poll_ = 0;
  work_in_poll_ = 0;
  handshakes_in_poll_ = 0;
  while (Flushable* output = next_flushes_.pop_front())
    flush_later(*output);
  if (flushes_.empty()) return;
  gathers_ = false;
  {
    const Turn turn(*this);
  }
  gathers_ = uv_is_closing(reinterpret_cast<uv_handle_t*>(&tick_)) == 0;
}

void Loop::end_turn() {
  // Deferred work may write, flushing may bury; go round until all is quiet.
  while (true) {
    if (Deferred* work = deferred_.pop_front()) {
      work->on_turn_end();
      continue;
    }
    if (!gathers_ || flushes_waiting_ > kFlushesMax) {
      if (Flushable* output = flushes_.pop_front()) {
        output->flush();
        continue;
      }
      flushes_waiting_ = 0;
    }
    if (Mortal* object = mortals_.pop_front()) {
      object->bury();
      continue;
    }
    break;
  }
  in_turn_ = false;
}

void Loop::run_posted() {
  std::vector<std::unique_ptr<Task>> tasks;
  {
    const std::lock_guard lock(posted_mutex_);  // allow(lock): see loop.h
    tasks.swap(posted_);
  }
  for (auto& task : tasks) {
    const Turn turn(*this);
    task->run();
    task.reset();
  }
}

void Loop::on_tick(uv_timer_t* timer) {
  auto* loop = static_cast<Loop*>(timer->data);
  const Turn turn(*loop);
  loop->timers_.advance(loop->now_ms());
}

void Loop::on_wake(uv_async_t* async) {
  static_cast<Loop*>(async->data)->run_posted();
}

}  // namespace portunus::net
