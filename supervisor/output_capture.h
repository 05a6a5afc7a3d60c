// What a replica writes to its standard output and error, line by line: to a file of its own, with
// the time before each line, and to a handler. Lives as long as the replica, and reads one process
// after the other. A process that floods cannot starve the supervisor, nor is it ever blocked for
// long: it is read slower, and what is beyond the budget is dropped and counted. Bytes of lines are
// as the process wrote them: whoever shows them cleans them (base::log_line does). One thread.
#pragma once

#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "supervisor/rotated_file.h"
#include "supervisor/timer.h"

namespace portunus::supervisor {

inline constexpr std::size_t kLineBytesMax = std::size_t{8} * 1024;  // a longer one is split
// At the end of each piece of a split line but the last.
inline constexpr std::string_view kSplitMark = " [line goes on]";
// A line costs its bytes and this.
inline constexpr std::size_t kLineCost = 64;
inline constexpr std::uint64_t kCaptureBytesPerSecond = std::uint64_t{1024} * 1024;

struct CaptureSettings {
  std::string service;
  std::uint32_t replica = 0;
  std::string folder;  // of SERVICE-REPLICA.log; must be there. Empty = no file
  std::uint64_t max_bytes = std::uint64_t{10} * 1024 * 1024;
  std::uint32_t keep = 3;
  std::uint64_t bytes_per_second = kCaptureBytesPerSecond;  // kept; four times as much at once
};

class LineHandler {
 public:
  // Without its newline; valid until return. Also what the capture says itself:
  // "[portunus] 12 lines dropped". From the loop and from finish(); must not destroy the capture.
  virtual void on_line(const std::string& service,
                       std::uint32_t replica,
                       std::string_view line) = 0;

 protected:
  ~LineHandler() = default;
};

class OutputCapture {
 public:
  OutputCapture(uv_loop_t& loop, CaptureSettings settings, LineHandler& handler);
  ~OutputCapture();
  OutputCapture(const OutputCapture&) = delete;
  OutputCapture& operator=(const OutputCapture&) = delete;

  // A new pipe. The caller gives its writing end, which is returned, to spawn() as Launch::output,
  // and closes it then. What the process before left is read first. The error is one line.
  [[nodiscard]] std::expected<int, std::string> open();
  // The reading end of a pipe that a former supervisor has opened; ours then, and closed on failure.
  [[nodiscard]] std::expected<void, std::string> adopt(int pipe);
  // When the process has ended: what is in the pipe is read, not what orphans write later.
  void finish();

  [[nodiscard]] bool is_open() const { return poll_ != nullptr; }
  // The reading end; -1 = none.
  [[nodiscard]] int descriptor() const { return pipe_; }
  [[nodiscard]] std::uint64_t lines() const { return lines_; }  // passed on
  [[nodiscard]] std::uint64_t dropped_lines() const { return dropped_lines_; }
  // Of those passed on: not in the file.
  [[nodiscard]] std::uint64_t lost_lines() const { return file_ ? file_->lost_lines() : 0; }
  // Why; empty when all is well.
  [[nodiscard]] std::string file_problem() const { return file_ ? file_->problem() : ""; }
  // After a reload.
  void set_limits(std::uint64_t max_bytes, std::uint32_t keep);

 private:
  enum class Flow : std::uint8_t { ended, empty, more };
  Flow read_some();
  void on_readable();
  void on_timer();
  void resume();
  void pause();
  void close();
  void take(std::string_view bytes);
  void take_line(std::string_view line, bool is_split);
  bool is_affordable(std::size_t bytes);
  void pass_on(std::string_view line);
  void end_partial();
  void report_dropped();

  uv_loop_t& loop_;
  CaptureSettings settings_;
  LineHandler& handler_;
  std::optional<RotatedFile> file_;
  Timer timer_;
  uv_poll_t* poll_ = nullptr;  // closes after us, so not our memory
  int pipe_ = -1;
  bool is_paused_ = false;
  bool is_dropping_ = false;  // until the budget has recovered
  std::string partial_;       // of the line that has not ended
  std::string stamped_;       // memory for one line of the file
  std::uint64_t budget_ = 0;  // bytes
  std::uint64_t budget_ms_ = 0;
  std::uint64_t now_ms_ = 0;  // of this turn
  std::string stamp_;
  std::uint64_t lines_ = 0;
  std::uint64_t dropped_lines_ = 0;
  std::uint64_t unreported_lines_ = 0;
};

}  // namespace portunus::supervisor
