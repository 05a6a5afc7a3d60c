#include "proxy/access_log.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kStopNs = 2'000'000'000;
constexpr std::uint64_t kReportEveryNs = 60'000'000'000;

std::string output_text(const conf::Output& output) {
  switch (output.kind) {
    case conf::OutputKind::standard_error:
      return "stderr";
    case conf::OutputKind::standard_output:
      return "stdout";
    case conf::OutputKind::file:
      break;
  }
  // A file that has the name of a stream stays a file.
  return output.path.find('/') == std::string::npos ? "./" + output.path : output.path;
}

void say_reopened() {
  base::log(base::LogLevel::info, "proxy", "logs reopened");
}

}  // namespace

AccessLog::~AccessLog() {
  stop();
}

bool AccessLog::configure(const conf::AccessLog& settings, std::string& reason) {
  if (settings.format != conf::AccessLogFormat::off &&
      (!is_configured_ || settings.output != configured_)) {
    if (!output_.open(output_text(settings.output), reason)) return false;
    configured_ = settings.output;
    is_configured_ = true;
  }
  shared_.format.store(settings.format, std::memory_order_relaxed);
  if (settings.format != conf::AccessLogFormat::off && !writer_.joinable()) {
    writer_ = std::thread([this] { run(); });
  }
  return true;
}

void AccessLog::reopen() {
  std::string reason;
  if (!output_.reopen(reason)) base::log(base::LogLevel::error, "access_log", "{}", reason);
  if (!writer_.joinable()) {
    say_reopened();
    return;
  }
  // It may be in the middle of a write to the old file; an idle one holds it until it looks.
  is_reopened_.store(true, std::memory_order_release);
  wake();
}

void AccessLog::wake() {
  shared_.signal.fetch_add(1, std::memory_order_release);
  shared_.signal.notify_one();
}

void AccessLog::stop() {
  if (!writer_.joinable()) return;
  output_.give_up_at(base::monotonic_ns() + kStopNs);
  is_stopping_.store(true, std::memory_order_release);
  wake();
  writer_.join();
}

AccessLogBuffer& AccessLog::add_buffer() {
  const std::scoped_lock lock(mutex_);
  buffers_.push_back(std::make_unique<AccessLogBuffer>(shared_));
  return *buffers_.back();
}

std::uint64_t AccessLog::dropped() const {
  const std::scoped_lock lock(mutex_);
  std::uint64_t sum = lost_lines_.load(std::memory_order_relaxed);
  for (const auto& buffer : buffers_)
    sum += buffer->dropped();
  return sum;
}

void AccessLog::run() {
  base::block_signals();
  while (true) {
    const std::uint32_t seen = shared_.signal.load(std::memory_order_acquire);
    const bool is_stopping = is_stopping_.load(std::memory_order_acquire);
    // Asked first: what was opened before the question is taken after it.
    const bool is_reopened = is_reopened_.exchange(false, std::memory_order_acq_rel);
    output_.take_pending();
    if (is_reopened) say_reopened();
    if (write_out()) continue;
    if (is_stopping) return;
    shared_.signal.wait(seen, std::memory_order_acquire);
  }
}

// One block of each buffer in turn, so that no thread's lines wait behind another's. False when
// there was nothing.
bool AccessLog::write_out() {
  std::vector<AccessLogBuffer*> buffers;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& buffer : buffers_)
      buffers.push_back(buffer.get());
  }
  bool has_written = false;
  for (AccessLogBuffer* buffer : buffers) {
    AccessLogBuffer::Block* const block = buffer->take_full();
    if (block == nullptr) continue;
    has_written = true;
    const std::string_view lines{block->bytes.data(), block->size};
    if (const std::size_t written = output_.write(lines); written < lines.size()) {
      const auto lost = std::ranges::count(lines.substr(written), '\n');
      lost_lines_.fetch_add(static_cast<std::uint64_t>(lost), std::memory_order_relaxed);
      report_failure();
    }
    buffer->give_back(block);
  }
  return has_written;
}

// Once a minute at most: a full disk must not fill the other log too.
void AccessLog::report_failure() {
  const std::uint64_t now_ns = base::monotonic_ns();
  if (now_ns < next_report_ns_) return;
  next_report_ns_ = now_ns + kReportEveryNs;
  base::log(base::LogLevel::error, "access_log", "cannot write: {}; {} lines lost so far",
            output_.last_error(), lost_lines_.load(std::memory_order_relaxed));
}

}  // namespace portunus::proxy
