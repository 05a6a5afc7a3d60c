#include "proxy/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <string_view>
#include <unordered_set>
#include <utility>

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

void ChangedFiles::add(const ChangedFiles& others) {
  files.insert(files.end(), others.files.begin(), others.files.end());
  may_be_any = may_be_any || others.may_be_any || files.size() > kMax;
  if (may_be_any) files.clear();
}

FileWatch::FileWatch(net::Loop& loop, FileWatchHandler& handler)
    : loop_(loop),
      handler_(handler),
      gather_(this, [](void* self) { static_cast<FileWatch*>(self)->gather(); }),
      next_look_(this,
                 [](void* self) {
                   auto* watch = static_cast<FileWatch*>(self);
                   watch->look();
                   watch->loop_.timers().arm(watch->next_look_, kLookMs);
                 }),
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
  next_look_.disarm();
  if (inotify_ >= 0) uv_close(reinterpret_cast<uv_handle_t*>(&poll_), nullptr);
}

bool FileWatch::watch(const std::vector<std::string>& files,
                      const std::vector<std::string>& folders,
                      const std::vector<std::string>& also) {
  std::vector<std::string> paths;
  paths.reserve(files.size() + folders.size() + also.size());  // `known` looks into it
  paths.insert(paths.end(), files.begin(), files.end());
  paths.insert(paths.end(), folders.begin(), folders.end());
  std::unordered_set<std::string_view> known(paths.begin(), paths.end());
  for (const std::string& file : also) {
    if (known.insert(file).second) paths.push_back(file);
  }
  // Else what was seen before the files were read stays: a change since then must not go unnoticed.
  if (paths != paths_) set_paths(std::move(paths));
  std::set<std::string> wanted(folders.begin(), folders.end());
  for (const std::string& file : files)
    wanted.insert(folder_of(file));
  loop_.timers().arm(next_look_, kLookMs);
  if (inotify_ < 0) return false;
  // Anew each time: a folder of the same name may be another one.
  for (const auto& [watch, folder] : watches_)
    ::inotify_rm_watch(inotify_, watch);
  watches_.clear();
  bool all = true;
  for (const std::string& folder : wanted)
    all = add(folder) && all;
  for (const std::string& file : also) {
    const std::string folder = folder_of(file);
    if (wanted.insert(folder).second) static_cast<void>(add(folder));
  }
  return all;
}

bool FileWatch::add(const std::string& folder) {
  const int watch = ::inotify_add_watch(inotify_, folder.c_str(), kEvents);
  if (watch >= 0) watches_.emplace_back(watch, folder);
  return watch >= 0;
}

void FileWatch::set_paths(std::vector<std::string> paths) {
  is_told_anyway_ = !paths_.empty();
  paths_ = std::move(paths);
  seen_.clear();
  places_.clear();
  due_.clear();
  for (const std::string& path : paths_) {
    places_.emplace(folder_of(path) + '/' + path.substr(path.rfind('/') + 1), seen_.size());
    seen_.push_back(stamp_of(path));
  }
  if (is_told_anyway_ && !gather_.is_armed()) loop_.timers().arm(gather_, kGatherMs);
}

void FileWatch::on_readable() {
  alignas(inotify_event) std::array<char, 4096> events;
  ssize_t size = 0;
  while ((size = ::read(inotify_, events.data(), events.size())) > 0) {
    const std::span<const char> all(events.data(), static_cast<std::size_t>(size));
    for (std::size_t at = 0; at + sizeof(inotify_event) <= all.size();) {
      const auto* event = reinterpret_cast<const inotify_event*>(&all[at]);
      note(event->wd, event->len > 0 ? std::string(event->name) : std::string());
      at += sizeof(inotify_event) + event->len;
    }
  }
  // Not renewed by further events: a busy folder must not put it off for ever.
  if (!gather_.is_armed()) loop_.timers().arm(gather_, kGatherMs);
}

// Another name than ours may be what a link of ours leads over; without one it is the folder itself,
// or events were lost.
void FileWatch::note(int watch, const std::string& name) {
  if (is_all_due_) return;
  const auto folder = std::ranges::find(watches_, watch, &std::pair<int, std::string>::first);
  const auto place = folder == watches_.end() || name.empty()
                         ? places_.end()
                         : places_.find(folder->second + '/' + name);
  if (place == places_.end() || due_.size() >= ChangedFiles::kMax) {
    is_all_due_ = true;
    return;
  }
  // Another of our names may be another way to the same file.
  const Stamp& file = seen_[place->second];
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    if (i == place->second ||
        (file[1] != 0 && std::equal(file.begin(), file.begin() + 2, seen_[i].begin())))
      due_.push_back(i);
  }
}

FileWatch::Stamp FileWatch::stamp_of(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return {};
  return {static_cast<std::int64_t>(facts.st_dev),
          static_cast<std::int64_t>(facts.st_ino),
          facts.st_size,
          facts.st_mtim.tv_sec,
          facts.st_mtim.tv_nsec,
          facts.st_ctim.tv_sec,
          facts.st_ctim.tv_nsec};
}

void FileWatch::look_at(std::size_t place, ChangedFiles& changed) {
  const Stamp now = stamp_of(paths_[place]);
  if (std::exchange(seen_[place], now) == now) return;
  if (changed.files.size() < ChangedFiles::kMax) {
    changed.files.push_back(paths_[place]);
  } else {
    changed.may_be_any = true;
  }
}

void FileWatch::tell(const ChangedFiles& changed) {
  if (changed.may_be_any || !changed.files.empty()) handler_.on_files_changed(changed);
}

void FileWatch::gather() {
  ChangedFiles changed;
  changed.may_be_any = std::exchange(is_told_anyway_, false);
  if (std::exchange(is_all_due_, false)) {
    for (std::size_t i = 0; i < paths_.size(); ++i)
      look_at(i, changed);
  } else {
    for (const std::size_t each : due_)
      look_at(each, changed);
  }
  due_.clear();
  tell(changed);
}

void FileWatch::look() {
  ChangedFiles changed;
  for (std::size_t i = 0; i < std::min(kLookFiles, paths_.size()); ++i) {
    if (next_ >= paths_.size()) next_ = 0;
    look_at(next_++, changed);
  }
  tell(changed);
}

}  // namespace portunus::proxy
