#include "supervisor/small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace portunus::supervisor {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} * 1024;
constexpr std::string_view kSpaces = " \t\n";

}  // namespace

std::optional<std::string> read_small_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string text;
  char bytes[4096];
  ssize_t count = 0;
  while (text.size() < kMostBytes && (count = ::read(file, bytes, sizeof bytes)) > 0)
    text.append(bytes, static_cast<std::size_t>(count));
  ::close(file);
  if (count < 0) return std::nullopt;
  return text;
}

bool write_small_file(const std::string& path, std::string_view text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return false;
  const ssize_t count = ::write(file, text.data(), text.size());
  const int error = errno;
  ::close(file);
  errno = error;
  return count == static_cast<ssize_t>(text.size());
}

std::optional<std::uint64_t> number_at(std::string_view text, std::size_t word) {
  std::size_t at = text.find_first_not_of(kSpaces);
  for (; word > 0 && at != std::string_view::npos; --word) {
    at = text.find_first_of(kSpaces, at);
    at = text.find_first_not_of(kSpaces, at);
  }
  if (at == std::string_view::npos) return std::nullopt;
  const char* const begin = text.data() + at;
  const char* const end = text.data() + std::min(text.find_first_of(kSpaces, at), text.size());
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> number_of_key(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(key) && line.substr(key.size()).starts_with(' ')) {
      return number_at(line, 1);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

}  // namespace portunus::supervisor
