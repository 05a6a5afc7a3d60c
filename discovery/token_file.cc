#include "discovery/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace portunus::discovery {
namespace {

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

bool is_token(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

void TokenFile::set(const std::string& path) {
  if (path == path_) return;
  path_ = path;
  token_.clear();
  stamp_ = {};
}

void TokenFile::take(int descriptor, const Stamp& stamp) {
  std::string text(kTokenMax + 1, '\0');
  const ssize_t count = ::pread(descriptor, text.data(), text.size(), 0);
  if (count <= 0 || static_cast<std::size_t>(count) > kTokenMax) return;
  text.resize(static_cast<std::size_t>(count));
  text = trimmed(text);
  if (!is_token(text)) return;
  token_ = std::move(text);
  stamp_ = stamp;
}

bool TokenFile::refresh() {
  // Not blocking: a pipe in its place would stop the thread.
  const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return !token_.empty();
  struct stat facts{};
  if (::fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode)) {
    const Stamp stamp{static_cast<std::int64_t>(facts.st_ino),
                      facts.st_size,
                      facts.st_mtim.tv_sec,
                      facts.st_mtim.tv_nsec,
                      facts.st_ctim.tv_sec,
                      facts.st_ctim.tv_nsec};
    if (stamp != stamp_) take(descriptor, stamp);
  }
  ::close(descriptor);
  return !token_.empty();
}

}  // namespace portunus::discovery
