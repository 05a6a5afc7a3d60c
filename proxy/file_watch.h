// Tells when the files of the configuration may have changed: watches their folders, because
// editors and ConfigMaps replace files and links by renaming. Bursts are gathered, and what happens
// to other files of the folder is not told. Says "may": who is told compares the contents. Control
// thread; stop() before Loop::stop().
#pragma once

#include <uv.h>

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
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches the folders of these files, and these folders, instead of what was watched. False when
  // one could not be watched (no inotify left): reloads then need a signal.
  bool watch(const std::vector<std::string>& files, const std::vector<std::string>& folders);
  void stop();

 private:
  void on_readable();
  void on_gathered();
  // Identity, size and time of every file: cheap, and different after any change.
  [[nodiscard]] std::string look() const;

  net::Loop& loop_;
  FileWatchHandler& handler_;
  net::Deadline gather_;
  // Our own inotify and not libuv's, which also reports every single write: a log file beside the
  // configuration would wake this thread for each line.
  int inotify_ = -1;
  uv_poll_t poll_;
  std::vector<std::string> folders_;  // watched now
  std::vector<int> watches_;
  std::vector<std::string> paths_;  // files, and folders of includes
  std::string seen_;
};

}  // namespace portunus::proxy
