// Tells when the files of the configuration may have changed: watches their folders, because editors and
// ConfigMaps replace files and links by renaming. Bursts are gathered, and what happens to other files of
// the folder is not told. Says "may": who is told compares the contents. Control thread; stop() before Loop::stop().
#pragma once

#include <uv.h>

#include <memory>
#include <string>
#include <vector>

#include "net/loop.h"

namespace portunus::proxy {

class FileWatchHandler {
 public:
  virtual void on_files_changed() = 0;

 protected:
  ~FileWatchHandler() = default;
};

class FileWatch {
 public:
  static constexpr std::uint64_t kGatherMs = 200;

  FileWatch(net::Loop& loop, FileWatchHandler& handler);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches the folders of these files, and these folders, instead of what was watched. False when one
  // could not be watched (no inotify left): reloads then need a signal.
  bool watch(const std::vector<std::string>& files, const std::vector<std::string>& folders);
  void stop();

 private:
  struct Folder;
  void clear();
  void on_gathered();
  // Identity, size and time of every file: cheap, and different after any change.
  [[nodiscard]] std::string look() const;
  static void on_event(uv_fs_event_t* handle, const char* name, int events, int status);

  net::Loop& loop_;
  FileWatchHandler& handler_;
  net::Deadline gather_;
  std::vector<Folder*> folders_;
  std::vector<std::string> paths_;  // files, and folders of includes
  std::string seen_;
};

}  // namespace portunus::proxy
