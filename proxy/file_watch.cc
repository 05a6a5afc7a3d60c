#include "proxy/file_watch.h"

#include <sys/stat.h>

#include <algorithm>

namespace portunus::proxy {

struct FileWatch::Folder {
  uv_fs_event_t handle;
  std::string path;
};

namespace {

std::string folder_of(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

}  // namespace

FileWatch::FileWatch(net::Loop& loop, FileWatchHandler& handler)
    : loop_(loop), handler_(handler), gather_(this, [](void* self) {
        static_cast<FileWatch*>(self)->on_gathered();
      }) {}

std::string FileWatch::look() const {
  std::string text;
  for (const std::string& path : paths_) {
    struct stat facts {};
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

bool FileWatch::watch(const std::vector<std::string>& files,
                      const std::vector<std::string>& folders) {
  std::vector<std::string> paths = files;
  paths.insert(paths.end(), folders.begin(), folders.end());
  if (paths != paths_) {
    // Else what was seen before the files were read stays: a change since then must not go unnoticed.
    paths_ = std::move(paths);
    seen_ = look();
  }
  std::vector<std::string> wanted = folders;
  for (const std::string& file : files) wanted.push_back(folder_of(file));
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  const bool same = std::equal(wanted.begin(), wanted.end(), folders_.begin(), folders_.end(),
                               [](const auto& path, const Folder* known) { return path == known->path; });
  if (same) return true;
  clear();
  bool all = true;
  for (const std::string& path : wanted) {
    auto* folder = new Folder{{}, path};
    uv_fs_event_init(loop_.uv(), &folder->handle);
    folder->handle.data = this;
    folders_.push_back(folder);
    all = uv_fs_event_start(&folder->handle, &FileWatch::on_event, path.c_str(), 0) == 0 && all;
  }
  return all;
}

void FileWatch::on_event(uv_fs_event_t* handle, const char* /*name*/, int /*events*/, int status) {
  if (status != 0) return;
  auto* self = static_cast<FileWatch*>(handle->data);
  const net::Loop::Turn turn(self->loop_);
  // Not renewed by further events: a log file in the same folder must not put it off for ever.
  if (!self->gather_.is_armed()) self->loop_.timers().arm(self->gather_, kGatherMs);
}

void FileWatch::clear() {
  for (Folder* folder : folders_) {
    uv_close(reinterpret_cast<uv_handle_t*>(&folder->handle),
             [](uv_handle_t* handle) { delete reinterpret_cast<Folder*>(handle); });
  }
  folders_.clear();
}

void FileWatch::stop() {
  gather_.disarm();
  clear();
}

}  // namespace portunus::proxy
