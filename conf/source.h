// The text of the files that make up one configuration: reads them within bounds, finds what an
// `include` names, turns places into lines for messages, and collects the messages. Lives on the
// stack of one load; not for secrets or state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "conf/diagnostic.h"
#include "conf/sealed_files.h"

namespace portunus::conf {

inline constexpr std::size_t kFileBytesMax = 16U << 20U;
inline constexpr std::size_t kAllFilesBytesMax = 64U << 20U;
inline constexpr std::size_t kFilesMax = 20000;

// Line and column count from 1; 0 stands for the file as a whole.
struct Place {
  std::uint32_t file = 0;  // index into Sources
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

class Sources {
 public:
  // With `instead`, which outlives it, from there: nothing is read from the disk.
  explicit Sources(const FileTexts* instead = nullptr) : instead_(instead) {}
  // Takes the text as it is; the index of the new file.
  std::uint32_t add(std::string name, std::string text);
  // Reads a regular file into a new entry, which stays (empty) when reading fails: its name is
  // still to be watched. The second value says what went wrong, in words for the user.
  std::expected<std::uint32_t, std::string> read(const std::string& path);

  [[nodiscard]] std::size_t size() const { return files_.size(); }
  [[nodiscard]] const std::string& name(std::uint32_t file) const { return files_[file].name; }
  [[nodiscard]] std::string_view text(std::uint32_t file) const { return files_[file].text; }
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::vector<SealedFiles::Part> parts() const;
  // The files that a pattern names, sorted; relative to the folder of the including file. Without a
  // wildcard: the path itself, whether it is there or not.
  [[nodiscard]] std::vector<std::string> find_included(const std::string& including_file,
                                                       const std::string& pattern) const;
  // "file:line", for messages that point at a second place.
  [[nodiscard]] std::string describe(Place place) const;
  // The line without its end; empty when there is none.
  [[nodiscard]] std::string_view line(Place place);
  // Of all texts, 16 hexadecimal digits.
  [[nodiscard]] std::string hash() const;

 private:
  struct File {
    std::string name;
    std::string text;
    std::vector<std::size_t> line_starts;  // made when first asked for
  };
  std::deque<File> files_;  // texts stay where they are: nodes and secrets point into them
  std::size_t total_bytes_ = 0;
  const FileTexts* instead_;
};

// Collects messages at places; finish() gives them in the order of the files.
class Report {
 public:
  void error(Place place, std::string message, std::string hint = {});
  void warning(Place place, std::string message, std::string hint = {});
  // The line of that place is not shown with any message, nor is one with a key `token`.
  void hide_line(Place place) { hidden_.push_back(place); }
  [[nodiscard]] bool has_errors() const { return error_count_ > 0; }
  [[nodiscard]] std::vector<Diagnostic> finish(Sources& sources);

 private:
  struct Entry {
    Place place;
    Severity severity;
    std::string message;
    std::string hint;
  };
  void append(Entry entry);
  [[nodiscard]] bool is_hidden(Place place, std::string_view line) const;
  std::vector<Entry> entries_;
  std::vector<Place> hidden_;
  std::size_t error_count_ = 0;
  std::size_t dropped_count_ = 0;  // beyond the bound
};

// The folder whose changes can change the answer of find_included().
[[nodiscard]] std::string folder_of_include(const std::string& including_file,
                                            const std::string& pattern);

}  // namespace portunus::conf
