#include "proxy/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace portunus::proxy {
namespace {

constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                  IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;

std::string folder_of(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

}  // namespace

FileWatch::FileWatch(net::Loop& loop, FileWatchHandler& handler)
    : loop_(loop),
      handler_(handler),
      gather_(this, [](void* self) { static_cast<FileWatch*>(self)->on_gathered(); }),
      inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (inotify_ < 0) return;
  uv_poll_init(loop.uv(), &poll_, inotify_);
  poll_.data = this;
  uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* handle, int /*status*/, int /*events*/) {
    auto* self = static_cast<FileWatch*>(handle->data);
    const net::Loop::Turn turn(self->loop_);
    self->on_readable();
  });
}

FileWatch::~FileWatch() {
  if (inotify_ >= 0) ::close(inotify_);
}

void FileWatch::stop() {
  gather_.disarm();
  if (inotify_ >= 0) uv_close(reinterpret_cast<uv_handle_t*>(&poll_), nullptr);
}

bool FileWatch::watch(const std::vector<std::string>& files,
                      const std::vector<std::string>& folders) {
  std::vector<std::string> paths = files;
  paths.insert(paths.end(), folders.begin(), folders.end());
  if (paths != paths_) {
    // Else what was seen before the files were read stays: a change since then must not go
    // unnoticed.
    paths_ = std::move(paths);
    seen_ = look();
  }
  std::vector<std::string> wanted = folders;
  for (const std::string& file : files)
    wanted.push_back(folder_of(file));
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  if (wanted == folders_) return true;
  if (inotify_ < 0) return false;
  for (const int watch : watches_)
    ::inotify_rm_watch(inotify_, watch);
  watches_.clear();
  bool all = true;
  for (const std::string& folder : wanted) {
    const int watch = ::inotify_add_watch(inotify_, folder.c_str(), kEvents);
    if (watch >= 0) watches_.push_back(watch);
    all = all && watch >= 0;
  }
  folders_ = std::move(wanted);
  return all;
}

void FileWatch::on_readable() {
  alignas(inotify_event) std::array<char, 4096> events;
  while (::read(inotify_, events.data(), events.size()) > 0) {
    // Which file it was does not matter: look() tells.
  }
  // Not renewed by further events: a busy folder must not put it off for ever.
  if (!gather_.is_armed()) loop_.timers().arm(gather_, kGatherMs);
}

std::string FileWatch::look() const {
  std::string text;
  for (const std::string& path : paths_) {
    struct stat facts{};
    if (::stat(path.c_str(), &facts) != 0) {
      text += "-;";
      continue;
    }
    text += std::to_string(facts.st_ino) + ',' + std::to_string(facts.st_size) + ',' +
            std::to_string(facts.st_mtim.tv_sec) + '.' + std::to_string(facts.st_mtim.tv_nsec) +
            ';';
  }
  return text;
}

void FileWatch::on_gathered() {
  std::string now = look();
  if (now == seen_) return;
  seen_ = std::move(now);
  handler_.on_files_changed();
}

}  // namespace portunus::proxy
