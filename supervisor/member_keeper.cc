#include "supervisor/member_keeper.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace portunus::supervisor {
namespace {

using base::LogLevel;

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

bool is_small_file(int descriptor) {
  struct stat about{};
  return ::fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) && about.st_size >= 0 &&
         static_cast<std::size_t>(about.st_size) <= MemberKeeper::kSizeMax;
}

}  // namespace

MemberKeeper::MemberKeeper(uv_loop_t& loop)
    : loop_(loop),
      due_(loop, this, [](void* self) { static_cast<MemberKeeper*>(self)->write(); }) {}

MemberKeeper::~MemberKeeper() {
  replace(-1);
}

void MemberKeeper::replace(int descriptor) {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = descriptor;
}

void MemberKeeper::open(const std::string& folder) {
  path_ = folder + "/members.state";
  if (descriptor_ >= 0) return;
  const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (file < 0) {
    if (errno == ENOENT) return;
    base::log(LogLevel::warn, "supervisor", "{}: {}", path_, strerrordesc_np(errno));
    return;
  }
  if (is_small_file(file)) {
    replace(file);
    return;
  }
  base::log(LogLevel::warn, "supervisor", "{} is ignored: no file, or too large", path_);
  ::close(file);
}

bool MemberKeeper::take(int descriptor) {
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || !is_small_file(descriptor)) {
    ::close(descriptor);
    return false;
  }
  replace(descriptor);
  uv_update_time(&loop_);
  const std::uint64_t now_ms = uv_now(&loop_);
  renewed_ms_ = now_ms;
  if (path_.empty()) return true;
  if (written_ms_ == 0 || now_ms >= written_ms_ + kWriteEveryMs) {
    write();
  } else if (is_written_) {
    is_written_ = false;
    due_.arm(written_ms_ + kWriteEveryMs - now_ms);
  }
  return true;
}

void MemberKeeper::adopt(int descriptor) {
  if (descriptor >= 0) replace(descriptor);
}

void MemberKeeper::renew() {
  const std::uint64_t now_ms = uv_now(&loop_);
  if (descriptor_ < 0 || now_ms < renewed_ms_ + kRenewEveryMs) return;
  renewed_ms_ = now_ms;
  ::futimens(descriptor_, nullptr);
  // The file too, when it says what the descriptor does.
  if (written_ms_ != 0 && is_written_ && !has_failed_)
    ::utimensat(AT_FDCWD, path_.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
}

void MemberKeeper::flush() {
  if (!is_written_) write();
}

void MemberKeeper::write() {
  due_.disarm();
  is_written_ = true;
  written_ms_ = uv_now(&loop_);
  const std::string fresh = path_ + ".new";
  if (copy_to(fresh) && ::rename(fresh.c_str(), path_.c_str()) == 0) {
    has_failed_ = false;
    return;
  }
  const int failure = errno;
  ::unlink(fresh.c_str());
  is_written_ = false;
  due_.arm(kRetryMs);
  if (std::exchange(has_failed_, true)) return;
  base::log(LogLevel::warn, "supervisor",
            "{}: {}: what operators ask of members will not outlive this process", path_,
            strerrordesc_np(failure));
}

bool MemberKeeper::copy_to(const std::string& path) const {
  ::unlink(path.c_str());
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return false;
  std::array<char, std::size_t{64} * 1024> buffer;
  off_t at = 0;
  ssize_t size = 0;
  bool is_good = true;
  while (is_good && (size = ::pread(descriptor_, buffer.data(), buffer.size(), at)) > 0) {
    errno = ENOSPC;  // what a short write means
    is_good = ::write(file, buffer.data(), static_cast<std::size_t>(size)) == size;
    at += size;
  }
  const int failure = errno;
  ::close(file);
  errno = failure;
  return is_good && size == 0;
}

}  // namespace portunus::supervisor
