// Tells when the files of the configuration may have changed: watches their folders, because
// editors and ConfigMaps replace files and links by renaming. Bursts are gathered, and what happens
// to other files of the folder is not told. What inotify does not tell (the target of a link in
// another folder, a folder that is made anew, network file systems) is seen by a look every two
// seconds, at so many files that it costs next to nothing. Says "may": who is told compares the
// contents. Control thread; stop() before Loop::stop().
#pragma once

#include <uv.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/loop.h"

namespace portunus::proxy {

struct ChangedFiles {
  static constexpr std::size_t kMax = 256;

  std::vector<std::string> files;
  bool may_be_any = false;  // also others than these

  void add(const ChangedFiles& others);
};

class FileWatchHandler {
 public:
  virtual void on_files_changed(const ChangedFiles& changed) = 0;

 protected:
  ~FileWatchHandler() = default;
};

class FileWatch {
 public:
  static constexpr std::uint64_t kGatherMs = 200;
  static constexpr std::uint64_t kLookMs = 2'000;
  static constexpr std::size_t kLookFiles = 2'000;  // at a time; all have their turn

  FileWatch(net::Loop& loop, FileWatchHandler& handler);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches the folders of these files, and these folders, instead of what was watched. They may have
  // changed since they were read: with other ones than before that is told once in any case, and the
  // first time the caller looks for itself. False when one could not be watched (no inotify left):
  // reloads then need a signal. `also`: files that are watched where they can be.
  bool watch(const std::vector<std::string>& files,
             const std::vector<std::string>& folders,
             const std::vector<std::string>& also = {});
  void stop();

 private:
  // Identity, size and times of a file: cheap, and different after any change. Zeros: it is not there.
  using Stamp = std::array<std::int64_t, 7>;  // device and inode first

  [[nodiscard]] static Stamp stamp_of(const std::string& path);
  void set_paths(std::vector<std::string> paths);
  bool add(const std::string& folder);
  void on_readable();
  void note(int watch, const std::string& name);
  void gather();
  void look();
  // Adds the file when it is not as it was seen last.
  void look_at(std::size_t place, ChangedFiles& changed);
  void tell(const ChangedFiles& changed);

  net::Loop& loop_;
  FileWatchHandler& handler_;
  net::Deadline gather_;
  net::Deadline next_look_;
  // Our own inotify and not libuv's, which also reports every single write: a log file beside the
  // configuration would wake this thread for each line.
  int inotify_ = -1;
  uv_poll_t poll_;
  std::vector<std::pair<int, std::string>> watches_;     // and the folders
  std::vector<std::string> paths_;                       // files, and folders of includes
  std::vector<Stamp> seen_;                              // by place in paths_
  std::unordered_map<std::string, std::size_t> places_;  // by folder, a slash, and name
  std::vector<std::size_t> due_;                         // of which something has been heard
  bool is_all_due_ = false;
  bool is_told_anyway_ = false;
  std::size_t next_ = 0;  // for look()
};

}  // namespace portunus::proxy
