#include "supervisor/output_capture.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/clock.h"
#include "base/utf8.h"
#include "supervisor/descriptor_reserve.h"

namespace portunus::supervisor {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} * 1024;   // what a pipe holds
constexpr std::size_t kTurnBytes = std::size_t{256} * 1024;  // then others have their turn
// While lines are dropped the process is slowed to kTurnBytes in each of these, 25 MB/s: a whole CPU
// would go into reading what is thrown away.
constexpr std::uint64_t kPauseMs = 10;
constexpr std::uint64_t kReportMs = 500;
constexpr std::uint64_t kBurstSeconds = 4;

std::uint64_t monotonic_ms() {
  return base::monotonic_ns() / 1'000'000;
}

// RFC 3339, UTC, and a space.
std::string stamp_of(std::uint64_t wall_us) {
  const auto seconds = static_cast<std::time_t>(wall_us / 1'000'000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  const std::string millis = std::to_string(wall_us / 1000 % 1000);
  return std::string(text.data(), size) + std::string(3 - millis.size(), '0') + millis + "Z ";
}

// Not in the middle of a character, when it is text at all.
std::size_t split_at(std::string_view line) {
  for (std::size_t back = 1; back <= 3; ++back) {
    const char* const at = line.data() + kLineBytesMax - back;
    if ((static_cast<unsigned char>(*at) & 0xc0) == 0x80) continue;
    const std::size_t length = base::utf8_length(at, line.data() + line.size());
    return length > back ? kLineBytesMax - back : kLineBytesMax;
  }
  return kLineBytesMax;
}

}  // namespace

OutputCapture::OutputCapture(uv_loop_t& loop, CaptureSettings settings, LineHandler& handler)
    : loop_(loop),
      settings_(std::move(settings)),
      handler_(handler),
      timer_(loop, this, [](void* self) { static_cast<OutputCapture*>(self)->on_timer(); }),
      budget_(settings_.bytes_per_second * kBurstSeconds),
      budget_ms_(monotonic_ms()) {
  if (settings_.folder.empty()) return;
  file_.emplace(
      settings_.folder + '/' + settings_.service + '-' + std::to_string(settings_.replica) + ".log",
      settings_.max_bytes, settings_.keep);
}

OutputCapture::~OutputCapture() {
  close();
}

void OutputCapture::set_limits(std::uint64_t max_bytes, std::uint32_t keep) {
  if (file_) file_->set_limits(max_bytes, keep);
}

std::expected<int, std::string> OutputCapture::open() {
  finish();
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return std::unexpected(std::string("pipe: ") + ::strerrordesc_np(errno));
  }
  if (!leaves_reserve(ends[0])) {
    ::close(ends[0]);
    ::close(ends[1]);
    return std::unexpected("too few file descriptors are left (ulimit -n, LimitNOFILE=)");
  }
  if (auto adopted = adopt(ends[0]); !adopted) {
    ::close(ends[1]);
    return std::unexpected(std::move(adopted).error());
  }
  return ends[1];
}

std::expected<void, std::string> OutputCapture::adopt(int pipe) {
  finish();
  ::fcntl(pipe, F_SETFD, FD_CLOEXEC);
  ::fcntl(pipe, F_SETFL, O_NONBLOCK);  // this end only: programs expect theirs to block
  auto* poll = new uv_poll_t;
  const int failure = uv_poll_init(&loop_, poll, pipe);
  if (failure != 0) {
    delete poll;
    ::close(pipe);
    return std::unexpected(std::string("poll: ") + uv_strerror(failure));
  }
  pipe_ = pipe;
  poll_ = poll;
  poll_->data = this;
  resume();
  return {};
}

void OutputCapture::resume() {
  is_paused_ = false;
  // An error is an end, too: reading will tell.
  uv_poll_start(poll_, UV_READABLE, [](uv_poll_t* poll, int, int) noexcept {
    static_cast<OutputCapture*>(poll->data)->on_readable();
  });
}

void OutputCapture::pause() {
  is_paused_ = true;
  uv_poll_stop(poll_);
  timer_.arm(kPauseMs);
}

void OutputCapture::close() {
  if (poll_ == nullptr) return;
  is_paused_ = false;
  uv_close(reinterpret_cast<uv_handle_t*>(poll_),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
  poll_ = nullptr;
  ::close(pipe_);
  pipe_ = -1;
}

void OutputCapture::on_readable() {
  switch (read_some()) {
    case Flow::ended:
      end_partial();
      close();
      break;
    case Flow::more:
      if (is_dropping_) pause();
      break;
    case Flow::empty:
      break;
  }
  if (file_) file_->flush(now_ms_);
}

void OutputCapture::on_timer() {
  now_ms_ = monotonic_ms();
  if (is_paused_) resume();
  if (unreported_lines_ == 0) return;
  stamp_ = stamp_of(base::wall_us());
  // Nothing has come for a while, maybe: then nothing else would tell of those dropped.
  if (is_affordable(0)) report_dropped();
  if (file_) file_->flush(now_ms_);
  if (unreported_lines_ != 0) timer_.arm(kReportMs);
}

void OutputCapture::finish() {
  if (poll_ != nullptr) {
    read_some();  // an orphan may write for ever: what a pipe holds is much less than is read here
    close();
  }
  end_partial();
  if (unreported_lines_ != 0) report_dropped();
  timer_.disarm();
  if (file_) file_->flush(now_ms_);
}

OutputCapture::Flow OutputCapture::read_some() {
  std::array<char, kReadBytes> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  now_ms_ = monotonic_ms();
  stamp_ = stamp_of(base::wall_us());
  for (std::size_t done = 0; done < kTurnBytes;) {
    const ssize_t count = ::read(pipe_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return Flow::empty;
    if (count <= 0) return Flow::ended;
    take({bytes.data(), static_cast<std::size_t>(count)});
    done += static_cast<std::size_t>(count);
  }
  return Flow::more;
}

// ---- lines

void OutputCapture::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) break;
    if (partial_.empty() && end <= kLineBytesMax) {
      take_line(bytes.substr(0, end), false);
    } else {
      partial_ += bytes.substr(0, end);
      end_partial();
    }
    bytes.remove_prefix(end + 1);
  }
  partial_ += bytes;
  std::size_t done = 0;
  while (partial_.size() - done > kLineBytesMax) {
    const std::string_view rest = std::string_view(partial_).substr(done);
    const std::size_t length = split_at(rest);
    take_line(rest.substr(0, length), true);
    done += length;
  }
  partial_.erase(0, done);
}

void OutputCapture::end_partial() {
  if (partial_.empty()) return;
  std::string_view rest = partial_;
  while (rest.size() > kLineBytesMax) {
    const std::size_t length = split_at(rest);
    take_line(rest.substr(0, length), true);
    rest.remove_prefix(length);
  }
  take_line(rest, false);
  partial_.clear();
  if (partial_.capacity() > kLineBytesMax) partial_.shrink_to_fit();
}

void OutputCapture::take_line(std::string_view line, bool is_split) {
  if (!is_affordable(line.size() + kLineCost)) {
    if (unreported_lines_ == 0 && !is_paused_) timer_.arm(kReportMs);
    ++dropped_lines_;
    ++unreported_lines_;
    return;
  }
  if (unreported_lines_ != 0) report_dropped();
  if (is_split) {
    pass_on(std::string(line) + std::string(kSplitMark));
    return;
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  pass_on(line);
}

bool OutputCapture::is_affordable(std::size_t bytes) {
  const std::uint64_t rate = settings_.bytes_per_second;
  const std::uint64_t passed_ms = now_ms_ - std::min(now_ms_, budget_ms_);
  const std::uint64_t more = std::min(passed_ms, kBurstSeconds * 1000) * rate / 1000;
  if (more > 0) {
    budget_ = std::min(budget_ + more, rate * kBurstSeconds);
    budget_ms_ = now_ms_;
  }
  // Not line by line: each gap costs a line that tells of it.
  if (is_dropping_ && budget_ < rate / 2) return false;
  is_dropping_ = budget_ < bytes;
  if (!is_dropping_) budget_ -= bytes;
  return !is_dropping_;
}

void OutputCapture::report_dropped() {
  const std::string text = "[portunus] " + std::to_string(unreported_lines_) + " lines dropped";
  unreported_lines_ = 0;
  pass_on(text);
}

void OutputCapture::pass_on(std::string_view line) {
  ++lines_;
  if (file_) {
    stamped_.assign(stamp_);
    stamped_ += line;
    stamped_ += '\n';
    file_->append(stamped_, now_ms_);
  }
  handler_.on_line(settings_.service, settings_.replica, line);
}

}  // namespace portunus::supervisor
