#include "supervisor/rotated_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "supervisor/descriptor_reserve.h"

namespace portunus::supervisor {
namespace {

constexpr std::uint64_t kRetryMs = 1'000;
constexpr std::size_t kBatchBytes = std::size_t{64} * 1024;
constexpr std::size_t kKeptBytes = std::size_t{4} * 1024;  // of memory, between two writes

}  // namespace

RotatedFile::RotatedFile(std::string path, std::uint64_t max_bytes, std::uint32_t keep)
    : path_(std::move(path)), max_bytes_(max_bytes), keep_(keep) {}

RotatedFile::~RotatedFile() {
  flush(next_try_ms_);
  close();
}

void RotatedFile::set_limits(std::uint64_t max_bytes, std::uint32_t keep) {
  max_bytes_ = max_bytes;
  keep_ = keep;
}

void RotatedFile::append(std::string_view line, std::uint64_t now_ms) {
  if (file_ < 0 && !open(now_ms)) return lose(line);
  if (size_ + unwritten_.size() + line.size() > max_bytes_) {
    flush(now_ms);
    if (file_ < 0) return lose(line);
    if (size_ > 0) {
      rotate();
      if (!open(now_ms)) return lose(line);
    }
  }
  unwritten_ += line;
  if (unwritten_.size() >= kBatchBytes) flush(now_ms);
}

void RotatedFile::flush(std::uint64_t now_ms) {
  if (unwritten_.empty()) return;
  std::string lines;
  lines.swap(unwritten_);
  std::size_t done = 0;
  while (file_ >= 0 && done < lines.size()) {
    const ssize_t count = ::write(file_, lines.data() + done, lines.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      fail("write");
      break;
    }
    done += static_cast<std::size_t>(count);
  }
  if (done < lines.size()) {
    // A torn line is taken back, so that the next one does not become its end.
    const std::size_t last = done == 0 ? std::string::npos : lines.rfind('\n', done - 1);
    const std::size_t whole = last == std::string::npos ? 0 : last + 1;
    if (whole < done && file_ >= 0) {
      static_cast<void>(!::ftruncate(file_, static_cast<off_t>(size_ + whole)));
    }
    lose(std::string_view(lines).substr(whole));
    done = whole;
    close();
    next_try_ms_ = now_ms + kRetryMs;
  }
  size_ += done;
  if (lines.capacity() > kKeptBytes) return;
  lines.clear();
  unwritten_.swap(lines);  // its memory is used again
}

bool RotatedFile::open(std::uint64_t now_ms) {
  if (now_ms < next_try_ms_) return false;
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                 0640);
  struct stat about{};
  if (file_ >= 0 && !leaves_reserve(file_)) {
    close();
    errno = EMFILE;
  }
  if (file_ < 0 || ::fstat(file_, &about) != 0 || !S_ISREG(about.st_mode)) {
    if (file_ >= 0) errno = EINVAL;  // a pipe, perhaps, that nobody reads
    fail("open");
    close();
    next_try_ms_ = now_ms + kRetryMs;
    return false;
  }
  size_ = static_cast<std::uint64_t>(about.st_size);
  problem_.clear();
  return true;
}

void RotatedFile::rotate() {
  close();
  const auto name = [this](std::uint32_t number) {
    return number == 0 ? path_ : path_ + '.' + std::to_string(number);
  };
  if (keep_ == 0) ::unlink(path_.c_str());
  for (std::uint32_t number = keep_; number > 0; --number)
    static_cast<void>(std::rename(name(number - 1).c_str(), name(number).c_str()));
  // Of a time when more were kept.
  for (std::uint32_t number = keep_ + 1; ::unlink(name(number).c_str()) == 0;)
    ++number;
}

void RotatedFile::close() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
}

void RotatedFile::fail(const char* step) {
  const char* const why = ::strerrordesc_np(errno);
  problem_ = std::string(step) + ' ' + path_ + ": " + (why == nullptr ? "?" : why);
}

void RotatedFile::lose(std::string_view lines) {
  lost_lines_ += static_cast<std::uint64_t>(std::ranges::count(lines, '\n'));
}

}  // namespace portunus::supervisor
