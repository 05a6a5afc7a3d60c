#include "proxy/sticky_secret.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <expected>

#include "base/check.h"
#include "base/log.h"
#include "supervisor/paths.h"

namespace portunus::proxy {
namespace {

std::string draw_secret() {
  std::array<unsigned char, StickySecret::kHexDigits / 2> bytes{};
  // Below 256 bytes it is never interrupted, and it fails only on kernels without the call.
  CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  std::string out;
  for (const unsigned char byte : bytes) {
    out += "0123456789abcdef"[byte >> 4U];
    out += "0123456789abcdef"[byte & 15U];
  }
  return out;
}

std::unexpected<std::string> failed(const std::string& path, int error) {
  return std::unexpected(path + ": " + strerrordesc_np(error));
}

// Empty when there is no such file.
std::expected<std::string, std::string> read_secret(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0 && errno == ENOENT) return std::string();
  if (file < 0) return failed(path, errno);
  std::array<char, StickySecret::kHexDigits + 1> text{};
  const ssize_t size = ::read(file, text.data(), text.size());
  const int error = errno;
  struct stat status{};
  const bool is_ours = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  ::close(file);
  if (size < 0) return failed(path, error);
  if (!is_ours || size < static_cast<ssize_t>(StickySecret::kHexDigits))
    return std::unexpected(path + ": is no file that Portunus has made; remove it");
  if ((status.st_mode & 077U) != 0)
    return std::unexpected(path + ": others may read it; remove it, or give it the mode 0600");
  return std::string(text.data(), StickySecret::kHexDigits);
}

// Whole or not at all, and never over one that is there: another process may have made it meanwhile.
std::expected<void, std::string> write_secret(const std::string& path, const std::string& text) {
  const std::string fresh = path + "." + std::to_string(::getpid());
  ::unlink(fresh.c_str());
  const int file =
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return failed(fresh, errno);
  const std::string line = text + '\n';
  const ssize_t size = ::write(file, line.data(), line.size());
  int error = size < 0 ? errno : ENOSPC;
  bool is_there = size == static_cast<ssize_t>(line.size());
  if (is_there && ::fsync(file) != 0) {
    is_there = false;
    error = errno;
  }
  ::close(file);
  if (is_there && ::link(fresh.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    is_there = false;
    error = errno;
  }
  ::unlink(fresh.c_str());
  if (!is_there) return failed(path, error);
  return {};
}

std::expected<std::string, std::string> read_or_make_secret(const std::string& folder) {
  // The supervisor has made it, if there is one; it may be the only one who can.
  const std::string own = supervisor::sticky_folder(folder);
  struct stat status{};
  if (::stat(own.c_str(), &status) != 0) {
    for (const std::string& each : {folder, own}) {
      if (const auto made = supervisor::make_folder(each); !made)
        return std::unexpected(made.error());
    }
  }
  const std::string path = sticky_secret_path(folder);
  auto known = read_secret(path);
  if (!known || !known->empty()) return known;
  if (const auto written = write_secret(path, draw_secret()); !written)
    return std::unexpected(written.error());
  known = read_secret(path);
  if (known && known->empty()) return std::unexpected(path + ": it has been removed again");
  return known;
}

}  // namespace

bool needs_sticky_secret(const conf::Model& model) {
  return std::ranges::any_of(model.pools, [](const conf::Pool& pool) {
    return pool.sticky && pool.sticky->secret.empty();
  });
}

const std::string& StickySecret::in(const std::string& folder) {
  if (!text_.empty()) return text_;
  auto kept = read_or_make_secret(folder);
  if (kept) {
    text_ = *std::move(kept);
    return text_;
  }
  base::log(base::LogLevel::warn, "proxy",
            "sticky: {}: the cookies of clients are good until the next restart", kept.error());
  text_ = draw_secret();
  return text_;
}

}  // namespace portunus::proxy
