#include "proxy/service_logs.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/cli_tables.h"

namespace portunus::proxy {
namespace {

// Of the end of a file: what is looked at for the last lines.
constexpr std::uint64_t kTailMax = std::uint64_t{8} * 1024 * 1024;
constexpr std::size_t kLineMax = std::size_t{64} * 1024;

// One replica's file, followed over its rotation.
class LogFile {
 public:
  explicit LogFile(std::string path) : path_(std::move(path)) {}
  ~LogFile() {
    if (file_ >= 0) ::close(file_);
  }
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // The last ones that are there, those of the file before included.
  std::vector<std::string> last_lines(std::size_t count) {
    read_new();
    std::vector<std::string> lines = std::move(lines_);
    lines_.clear();
    if (lines.size() < count) {
      LogFile former(path_ + ".1");
      std::vector<std::string> older;
      if (former.read_new()) older = std::move(former.lines_);
      older.insert(older.end(), std::make_move_iterator(lines.begin()),
                   std::make_move_iterator(lines.end()));
      lines = std::move(older);
    }
    if (lines.size() > count)
      lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    return lines;
  }
  std::vector<std::string> new_lines() {
    read_new();
    if (is_replaced()) {
      ::close(file_);
      file_ = -1;
      read_new();
    }
    return std::exchange(lines_, {});
  }

 private:
  bool read_new() {
    if (file_ < 0 && !open()) return false;
    struct stat found{};
    if (::fstat(file_, &found) != 0) return false;
    const auto size = static_cast<std::uint64_t>(found.st_size);
    if (size < at_) at_ = 0;  // emptied
    if (size - at_ > kTailMax) {
      at_ = size - kTailMax;
      is_cut_ = true;  // the first line is not a whole one
    }
    std::array<char, 65536> part;
    while (true) {
      const ssize_t got = ::pread(file_, part.data(), part.size(), static_cast<off_t>(at_));
      if (got <= 0) return true;
      at_ += static_cast<std::uint64_t>(got);
      take({part.data(), static_cast<std::size_t>(got)});
    }
  }
  bool open() {
    file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    at_ = 0;
    return file_ >= 0;
  }
  [[nodiscard]] bool is_replaced() const {
    struct stat mine{};
    struct stat there{};
    return file_ >= 0 && ::fstat(file_, &mine) == 0 && ::stat(path_.c_str(), &there) == 0 &&
           mine.st_ino != there.st_ino;
  }
  void take(std::string_view text) {
    for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
      unfinished_ += text.substr(0, end);
      if (!std::exchange(is_cut_, false)) lines_.push_back(std::exchange(unfinished_, {}));
      unfinished_.clear();
      text.remove_prefix(end + 1);
    }
    unfinished_ += text;
    if (unfinished_.size() > kLineMax) lines_.push_back(std::exchange(unfinished_, {}));
  }

  std::string path_;
  int file_ = -1;
  std::uint64_t at_ = 0;
  bool is_cut_ = false;
  std::string unfinished_;
  std::vector<std::string> lines_;
};

// By the number of the replica.
using LogFiles = std::map<std::uint32_t, std::unique_ptr<LogFile>>;

// Of "SERVICE-REPLICA.log".
std::optional<std::uint32_t> replica_of(std::string_view file, std::string_view service) {
  constexpr std::string_view kSuffix = ".log";
  if (!file.starts_with(service) || !file.ends_with(kSuffix)) return std::nullopt;
  file.remove_prefix(service.size());
  if (!file.starts_with('-') || file.size() <= kSuffix.size() + 1) return std::nullopt;
  file = file.substr(1, file.size() - 1 - kSuffix.size());
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(file.data(), file.data() + file.size(), number);
  if (error != std::errc{} || end != file.data() + file.size()) return std::nullopt;
  return number;
}

void find_files(const WantedLogs& wanted, LogFiles& files) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(wanted.folder, failure)) {
    const auto number = replica_of(entry.path().filename().string(), wanted.service);
    if (!number || files.contains(*number)) continue;
    if (wanted.replica && *wanted.replica != *number) continue;
    files.emplace(*number, std::make_unique<LogFile>(entry.path().string()));
  }
}

struct Line {
  std::string text;
  std::uint32_t replica = 0;
};

// Those of several replicas in the order of their times, which they begin with.
bool print(const WantedLogs& wanted, std::vector<Line> lines, CliOutput& output) {
  std::ranges::stable_sort(lines, {}, [](const Line& line) {
    return std::string_view(line.text).substr(0, line.text.find(' '));
  });
  for (Line& line : lines) {
    std::ranges::replace(line.text, '\t', ' ');
    output.out += wanted.service + '-' + std::to_string(line.replica) + ' ' +
                  printable(line.text, false) + '\n';
  }
  return output.flush();
}

int follow(const WantedLogs& wanted, int watch, LogFiles& files, CliOutput& output) {
  while (true) {
    // What the events say does not matter; that there are some does.
    alignas(inotify_event) std::array<char, 16384> events;
    const ssize_t size = ::read(watch, events.data(), events.size());
    if (size < 0 && errno != EINTR) {
      output.err += std::string("portunus: inotify: ") + strerrordesc_np(errno) + '\n';
      return exit_refused;
    }
    find_files(wanted, files);
    std::vector<Line> lines;
    for (const auto& [number, file] : files) {
      for (std::string& line : file->new_lines())
        lines.push_back({std::move(line), number});
    }
    if (!print(wanted, std::move(lines), output)) return exit_ok;  // nobody reads any more
  }
}

}  // namespace

int print_logs(const WantedLogs& wanted, CliOutput& output) {
  // Before the files are read: nothing is missed between.
  const int watch = wanted.follow ? ::inotify_init1(IN_CLOEXEC) : -1;
  if (wanted.follow &&
      (watch < 0 || ::inotify_add_watch(watch, wanted.folder.c_str(),
                                        IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)) {
    output.err += "portunus: " + wanted.folder + ": " + strerrordesc_np(errno) + '\n';
    if (watch >= 0) ::close(watch);
    return exit_refused;
  }
  LogFiles files;
  find_files(wanted, files);
  if (files.empty()) {
    output.err += "portunus: no output of " + wanted.service + " is in " + wanted.folder + '\n';
    if (!wanted.follow) return exit_refused;
  }
  std::vector<Line> lines;
  for (const auto& [number, file] : files) {
    for (std::string& line : file->last_lines(wanted.lines))
      lines.push_back({std::move(line), number});
  }
  if (!print(wanted, std::move(lines), output) || !wanted.follow) return exit_ok;
  const int status = follow(wanted, watch, files, output);
  ::close(watch);
  return status;
}

}  // namespace portunus::proxy
