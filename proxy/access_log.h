// One line per finished exchange. AccessLog is the control thread's: it owns the output and a
// writer thread. Each data-plane thread formats into its own AccessLogBuffer; full blocks go to the
// writer without a lock and come back empty. When the writer is behind (slow or full disk) lines
// are dropped and counted; a data-plane thread never waits. Formats: JSON with the fields of
// NAMES.md, or nginx's combined line. Cookies and credentials are never logged.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/output_file.h"
#include "conf/model.h"
#include "proxy/access_log_buffer.h"

namespace portunus::proxy {

class AccessLog {
 public:
  AccessLog() = default;
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Opens the output and starts the writer; again after a reload, for new settings. False with a
  // reason when the output cannot be opened: then nothing changes.
  bool configure(const conf::AccessLog& settings, std::string& reason);
  // After a rotation (SIGUSR1). Says "logs reopened" when nothing goes to the old file any more: then
  // it may be compressed or removed. When the new one cannot be opened, which is an error of the log just
  // before, the old one stays in use.
  void reopen();
  // Writes what the buffers handed over and ends the writer; waits at most two seconds for an
  // output that stands still. The data-plane threads have flushed and ended before.
  void stop();

  // For one data-plane thread; lives as long as the log. Before that thread starts.
  AccessLogBuffer& add_buffer();
  // Lines lost because the writer was behind or the output refused them.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  void run();
  bool write_out();
  void report_failure();
  void wake();

  AccessLogShared shared_;
  base::OutputFile output_;
  conf::Output configured_;  // where output_ goes
  bool is_configured_ = false;
  mutable std::mutex mutex_;  // guards buffers_, for control thread and writer
  std::vector<std::unique_ptr<AccessLogBuffer>> buffers_;
  std::thread writer_;
  std::atomic<bool> is_stopping_{false};
  std::atomic<bool> is_reopened_{false};  // the writer lets go of the old file and says so
  std::atomic<std::uint64_t> lost_lines_{0};
  std::uint64_t next_report_ns_ = 0;  // of the writer
};

}  // namespace portunus::proxy
