#include "conf/source.h"

#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

namespace portunus::conf {
namespace {

constexpr std::size_t kMessagesMax = 1000;
constexpr std::size_t kShownLineBytes = 160;
constexpr std::string_view kHiddenLine = "(not shown: it may hold a secret)";

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// Also of a line that cannot be parsed.
bool has_token_key(std::string_view line) {
  constexpr std::string_view kWord = "token";
  for (std::size_t at = line.find(kWord); at != std::string_view::npos;
       at = line.find(kWord, at + 1)) {
    const std::string_view before = line.substr(0, at);
    std::string_view after = line.substr(at + kWord.size());
    if (after.starts_with('"') || after.starts_with('\'')) after.remove_prefix(1);
    while (after.starts_with(' '))
      after.remove_prefix(1);
    const bool begins = before.empty() || std::string_view(" \t{,\"'").contains(before.back());
    if (begins && after.starts_with(':')) return true;
  }
  return false;
}

std::string reason_of(int error_number) {
  return std::generic_category().message(error_number);
}

std::expected<std::string, std::string> read_text(const std::string& path) {
  // Without O_NONBLOCK a FIFO would hang the load.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return std::unexpected("cannot open the file: " + reason_of(errno));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) {
    return std::unexpected("cannot read the file: " + reason_of(errno));
  }
  if (S_ISDIR(info.st_mode)) return std::unexpected(std::string("this is a directory, not a file"));
  if (!S_ISREG(info.st_mode)) return std::unexpected(std::string("this is not a regular file"));
  std::string text;
  const auto too_large = [&] {
    return text.size() > kFileBytesMax;
  };
  if (info.st_size > 0 && static_cast<std::size_t>(info.st_size) > kFileBytesMax) {
    return std::unexpected("the file is larger than " + std::to_string(kFileBytesMax >> 20U) +
                           "MiB: " + std::to_string(info.st_size) + " bytes");
  }
  text.reserve(static_cast<std::size_t>(info.st_size));
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count == 0) return text;
    if (count < 0) {
      if (errno == EINTR) continue;
      return std::unexpected("cannot read the file: " + reason_of(errno));
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (too_large()) return std::unexpected(std::string("the file grows while it is read"));
  }
}

std::expected<std::string, std::string> find_text(const FileTexts& files, const std::string& path) {
  const auto found = std::ranges::find(files, path, &FileText::name);
  if (found == files.end()) return std::unexpected(std::string("not among the files kept"));
  return found->text;
}

bool has_wildcard(std::string_view pattern) {
  return pattern.find_first_of("*?[") != std::string_view::npos;
}

std::filesystem::path resolve(const std::string& including_file, const std::string& pattern) {
  std::filesystem::path path(pattern);
  if (path.is_absolute()) return path;
  return std::filesystem::path(including_file).parent_path() / path;
}

bool is_inside_character(std::string_view text, std::size_t i) {
  return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xc0U) == 0x80U;
}

// Columns count characters, from 1.
std::size_t offset_of_column(std::string_view line, std::uint32_t column) {
  std::size_t at = 0;
  for (std::uint32_t passed = 1; passed < column && at < line.size(); ++passed) {
    ++at;
    for (int step = 0; step < 3 && is_inside_character(line, at); ++step)
      ++at;
  }
  return at;
}

}  // namespace

std::uint32_t Sources::add(std::string name, std::string text) {
  total_bytes_ += text.size();
  files_.push_back({std::move(name), std::move(text), {}});
  return static_cast<std::uint32_t>(files_.size() - 1);
}

std::expected<std::uint32_t, std::string> Sources::read(const std::string& path) {
  const std::uint32_t file = add(path, {});
  if (files_.size() > kFilesMax) {
    return std::unexpected("more than " + std::to_string(kFilesMax) + " files");
  }
  auto text = instead_ == nullptr ? read_text(path) : find_text(*instead_, path);
  if (!text) return std::unexpected(text.error());
  total_bytes_ += text->size();
  if (total_bytes_ > kAllFilesBytesMax) {
    return std::unexpected("all files together are larger than " +
                           std::to_string(kAllFilesBytesMax >> 20U) + "MiB");
  }
  files_[file].text = *std::move(text);
  return file;
}

std::vector<std::string> Sources::names() const {
  std::vector<std::string> names;
  names.reserve(files_.size());
  for (const File& file : files_)
    names.push_back(file.name);
  return names;
}

std::vector<SealedFiles::Part> Sources::parts() const {
  std::vector<SealedFiles::Part> parts;
  parts.reserve(files_.size());
  for (const File& file : files_)
    parts.push_back({file.name, file.text});
  return parts;
}

std::string Sources::describe(Place place) const {
  return files_[place.file].name + ':' + std::to_string(place.line);
}

std::string_view Sources::line(Place place) {
  if (place.line == 0) return {};
  File& file = files_[place.file];
  if (file.line_starts.empty()) {
    file.line_starts.push_back(0);
    for (std::size_t i = file.text.find('\n'); i != std::string::npos;
         i = file.text.find('\n', i + 1)) {
      file.line_starts.push_back(i + 1);
    }
  }
  if (place.line > file.line_starts.size()) return {};
  std::string_view rest = std::string_view(file.text).substr(file.line_starts[place.line - 1]);
  rest = rest.substr(0, rest.find('\n'));
  if (rest.ends_with('\r')) rest.remove_suffix(1);
  return rest;
}

std::string Sources::hash() const {
  // FNV-1a, 64 bits: tells versions of a file apart; nothing trusts it.
  std::uint64_t hash = 14695981039346656037U;
  const auto mix = [&hash](unsigned char byte) {
    hash = (hash ^ byte) * 1099511628211U;
  };
  for (const File& file : files_) {
    for (const char c : file.text)
      mix(static_cast<unsigned char>(c));
    mix(0);  // NUL is in no text: the border between two files counts
  }
  std::string hex(16, '0');
  for (std::size_t i = 0; i < 16; ++i)
    hex[15 - i] = "0123456789abcdef"[(hash >> (4 * i)) & 15U];
  return hex;
}

void Report::append(Entry entry) {
  if (entries_.size() >= kMessagesMax) {
    ++dropped_count_;
  } else {
    entries_.push_back(std::move(entry));
  }
}

void Report::error(Place place, std::string message, std::string hint) {
  ++error_count_;
  append({place, Severity::error, std::move(message), std::move(hint)});
}

void Report::warning(Place place, std::string message, std::string hint) {
  append({place, Severity::warning, std::move(message), std::move(hint)});
}

bool Report::is_hidden(Place place, std::string_view line) const {
  if (std::ranges::any_of(hidden_, [&](const Place& hidden) {
        return hidden.file == place.file && hidden.line == place.line;
      }))
    return true;
  return has_token_key(line);
}

std::vector<Diagnostic> Report::finish(Sources& sources) {
  std::ranges::stable_sort(entries_, {}, [](const Entry& e) {
    return std::tuple(e.place.file, e.place.line, e.place.column);
  });
  std::vector<Diagnostic> out;
  for (Entry& entry : entries_) {
    Diagnostic diagnostic{.severity = entry.severity,
                          .file = sources.name(entry.place.file),
                          .line = entry.place.line,
                          .column = entry.place.column,
                          .message = std::move(entry.message),
                          .hint = std::move(entry.hint),
                          .source_line = {},
                          .caret = 0};
    std::string_view line = sources.line(entry.place);
    std::size_t at = offset_of_column(line, entry.place.column);
    if (is_hidden(entry.place, line)) {
      line = kHiddenLine;
      at = 0;
    }
    std::size_t from = at > kShownLineBytes / 2 ? at - kShownLineBytes / 2 : 0;
    if (line.size() <= kShownLineBytes) from = 0;
    std::size_t end = std::min(line.size(), from + kShownLineBytes);
    // Not through the middle of a character; the file may be no UTF-8, so that only a few steps
    // count.
    for (int step = 0; step < 3 && from > 0 && is_inside_character(line, from); ++step)
      --from;
    for (int step = 0; step < 3 && end > at && is_inside_character(line, end); ++step)
      --end;
    diagnostic.source_line = line.substr(from, end - from);
    diagnostic.caret = static_cast<std::uint32_t>(at - from);
    out.push_back(std::move(diagnostic));
  }
  if (dropped_count_ > 0) {
    Diagnostic more{.severity = error_count_ > 0 ? Severity::error : Severity::warning,
                    .file = sources.name(0),
                    .message = "and " + std::to_string(dropped_count_) + " more messages",
                    .hint = {},
                    .source_line = {}};
    out.push_back(std::move(more));
  }
  return out;
}

std::vector<std::string> Sources::find_included(const std::string& including_file,
                                                const std::string& pattern) const {
  const std::string path = resolve(including_file, pattern).string();
  if (!has_wildcard(pattern)) return {path};
  std::vector<std::string> found;
  if (instead_ != nullptr) {
    // Whatever the pattern found was read, or the configuration would not have been good.
    for (const FileText& file : *instead_) {
      if (::fnmatch(path.c_str(), file.name.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0)
        found.push_back(file.name);
    }
    std::ranges::sort(found);
    return found;
  }
  glob_t matches = {};
  // NOLINTNEXTLINE(concurrency-mt-unsafe): only so with GLOB_TILDE
  if (::glob(path.c_str(), 0, nullptr, &matches) == 0) {
    found.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  }
  ::globfree(&matches);
  // Not in the order of the locale.
  std::ranges::sort(found);
  return found;
}

std::string folder_of_include(const std::string& including_file, const std::string& pattern) {
  std::filesystem::path folder = resolve(including_file, pattern).parent_path();
  while (has_wildcard(folder.string()))
    folder = folder.parent_path();
  return folder.empty() ? std::string(".") : folder.string();
}

}  // namespace portunus::conf
