// Where a log writes: standard error, standard output or a file that is appended to and can be
// opened anew after a rotation. The owner's writer thread calls write(); any other thread may call
// open() and reopen(). A full disk, a closed pipe and a reader that stands still are answered with
// false, never with a signal, a spin or an endless wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace portunus::base {

// First thing on a writer thread: signals are the main thread's, and a closed pipe becomes an error
// of write() instead of SIGPIPE.
void block_signals();

class OutputFile {
 public:
  OutputFile() = default;
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // "stderr", "stdout" or a path. False with a reason, and then the old output stays.
  bool open(const std::string& output, std::string& reason);
  // The same path again; nothing to do for the standard streams.
  bool reopen(std::string& reason);
  // After this a blocked write gives up at that monotonic time (base::monotonic_ns).
  void give_up_at(std::uint64_t deadline_ns) {
    give_up_ns_.store(deadline_ns, std::memory_order_relaxed);
  }

  // Writes whole lines and returns how many bytes of them; when not all, errno's text is in
  // last_error(). After a torn line the next write starts on a new one.
  std::size_t write(std::string_view lines);
  [[nodiscard]] const char* last_error() const { return last_error_; }
  // The writer's: lets go of the old file after open() or reopen(). write() does it too.
  void take_pending();

 private:
  bool wait_writable();
  std::size_t write_all(std::string_view bytes);

  std::mutex mutex_;  // allow(lock): guards output_; open() and reopen() only, never write()
  std::string output_;
  std::atomic<int> pending_{-1};  // the next descriptor, opened by open()
  std::atomic<std::uint64_t> give_up_ns_{0};
  int fd_ = -1;  // of the writer
  bool is_socket_ = false;
  bool may_block_ = false;  // a shared description: ask first, and then write little
  bool is_torn_ = false;
  const char* last_error_ = "";
};

}  // namespace portunus::base
