// One libuv loop and what every object on it shares: the read buffer, the chunk pool, the timer
// wheel, the cached clock, and the end of a turn. A turn is one callback from libuv; at its end the
// deferred work runs, then dead objects are buried, so that nothing is destroyed inside its own
// callback and no command raises an event synchronously. Buffered output of all the turns of one
// poll is written after the last of them: a peer that sleeps is then woken once for all that is
// for it, and finds it together. Owned by a thread; post() is the only method for other threads.
#pragma once

#include <uv.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/chunk.h"
#include "base/intrusive_list.h"
#include "net/timer_wheel.h"

namespace portunus::net {

// Work for another thread's loop.
class Task {
 public:
  virtual ~Task() = default;
  virtual void run() = 0;
};

// Work put off to the end of the turn. Enqueuing twice is once.
class Deferred : public base::ListHook<Deferred> {
 public:
  virtual void on_turn_end() = 0;

 protected:
  ~Deferred() = default;
};

// An object that the loop destroys at the end of the turn.
class Mortal : public base::ListHook<Mortal> {
 public:
  // Ends the object (delete, or back to its slab).
  virtual void bury() = 0;

 protected:
  ~Mortal() = default;
};

// Buffered output that waits for the end of the poll.
class Flushable : public base::ListHook<Flushable> {
 public:
  virtual void flush() = 0;

 protected:
  ~Flushable() = default;
};

class Loop {
 public:
  // One read brings so much at most: from a stream that has just begun, and from one whose reads have
  // filled the buffer each time. The more is moved at once, the less often the receiver is woken.
  static constexpr std::size_t kReadMin = std::size_t{64} * 1024;
  static constexpr std::size_t kReadBuffer = std::size_t{512} * 1024;
  // Above this many chunks in use, and after so many bytes of one poll, every read is a small one:
  // what a slow peer does not take is kept, and others want their turn.
  static constexpr std::size_t kScarceChunks = 1024;
  static constexpr std::size_t kBytesPerPoll = std::size_t{4} * 1024 * 1024;
  // After so many bytes' worth of work in one poll, reads are very small until the next one.
  static constexpr std::size_t kReadTired = std::size_t{4} * 1024;
  // So many outputs wait for the end of a poll at most, each with a chunk.
  static constexpr std::size_t kFlushesMax = 64;
  // Of a poll. One costs 0.1 ms to 1 ms of the thread's time.
  static constexpr unsigned kHandshakesPerPoll = 8;
  static constexpr std::size_t kScratch = std::size_t{160} * 1024;

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(), then closes what is the loop's own and runs until every handle is closed.
  void run();
  // From the loop's thread.
  void stop();
  // From any thread. The task runs on the loop's thread, in order; false after the loop has ended.
  bool post(std::unique_ptr<Task> task);
  template <typename Function>
  bool post(Function function);

  void defer(Deferred& work) {
    if (!work.is_linked()) deferred_.push_back(work);
  }
  void flush_later(Flushable& output) {
    if (output.base::ListHook<Flushable>::is_linked()) return;
    flushes_.push_back(output);
    ++flushes_waiting_;
  }
  // flush() comes at the end of the next poll, which does not wait for anything.
  void flush_next(Flushable& output);
  void bury(Mortal& object) {
    if (!object.base::ListHook<Mortal>::is_linked()) mortals_.push_back(object);
  }

  [[nodiscard]] uv_loop_t* uv() { return &loop_; }
  [[nodiscard]] TimerWheel& timers() { return timers_; }
  [[nodiscard]] base::ChunkPool& chunks() { return chunks_; }
  // Shared by all reads; its bytes live until the read callback returns.
  // `doublings`: how often in a row the reader has filled it.
  [[nodiscard]] std::span<char> read_buffer(unsigned doublings);
  void count_read(std::size_t bytes) { read_in_poll_ += bytes; }
  // What has been done with bytes that were read, in bytes that could have been passed on meanwhile.
  void count_work(std::size_t bytes) { work_in_poll_ += bytes; }
  // What one read of TLS holds in the clear; its bytes live until the read callback returns.
  [[nodiscard]] std::span<char> plain_buffer();
  // Whether one more step of a TLS handshake may be done before the next poll; counts it.
  [[nodiscard]] bool may_shake_hands() { return handshakes_in_poll_++ < kHandshakesPerPoll; }
  // For serialising one head; its bytes live until the next use.
  [[nodiscard]] std::span<char> scratch() { return {scratch_.get(), kScratch}; }
  // Monotonic, as of the start of the turn.
  [[nodiscard]] std::uint64_t now_ns() const { return now_ns_; }
  [[nodiscard]] std::uint64_t now_ms() const { return now_ns_ / 1'000'000; }

  // Every callback from libuv into the program opens one of these first.
  class Turn {
   public:
    explicit Turn(Loop& loop) : loop_(loop) { loop.begin_turn(); }
    ~Turn() { loop_.end_turn(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Loop& loop_;
  };

 private:
  void begin_turn();
  void end_turn();
  void flush_all();
  void close_handles();
  void run_posted();
  static void on_tick(uv_timer_t* timer);
  static void on_wake(uv_async_t* async);

  uv_loop_t loop_;
  uv_timer_t tick_;
  uv_async_t wake_;
  uv_prepare_t before_poll_;
  uv_check_t after_poll_;
  std::uint64_t now_ns_;
  bool in_turn_ = false;
  bool gathers_ = true;  // output waits for the end of the poll
  std::size_t work_in_poll_ = 0;
  std::size_t read_in_poll_ = 0;
  unsigned handshakes_in_poll_ = 0;
  std::size_t flushes_waiting_ = 0;  // at most: some may have unlinked themselves
  base::ChunkPool chunks_;
  TimerWheel timers_;
  base::IntrusiveList<Deferred, Deferred> deferred_;
  base::IntrusiveList<Flushable, Flushable> flushes_;
  base::IntrusiveList<Flushable, Flushable> next_flushes_;
  base::IntrusiveList<Mortal, Mortal> mortals_;
  std::unique_ptr<char[]> read_buffer_;
  std::unique_ptr<char[]> plain_buffer_;  // once there is TLS
  std::unique_ptr<char[]> scratch_;
  // allow(lock): post() is for other threads, never on the path of a request
  std::mutex posted_mutex_;
  std::vector<std::unique_ptr<Task>> posted_;
  bool accepts_posts_ = true;
};

template <typename Function>
bool Loop::post(Function function) {
  struct FunctionTask final : Task {
    explicit FunctionTask(Function f) : f_(std::move(f)) {}
    void run() override { f_(); }
    Function f_;
  };
  return post(std::unique_ptr<Task>(std::make_unique<FunctionTask>(std::move(function))));
}

}  // namespace portunus::net
