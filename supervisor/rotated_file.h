// A file of lines that never grows beyond a size: when it is full it is set aside as NAME.1, the one
// before as NAME.2 and so on. Lines are collected and written by flush(). What cannot be written (no
// folder, no permission, no space) is lost and counted; the next try comes a second later. One
// thread; a write is one to the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace portunus::supervisor {

class RotatedFile {
 public:
  // The folder must be there. `keep` files are set aside; 0: none, the full one is emptied.
  RotatedFile(std::string path, std::uint64_t max_bytes, std::uint32_t keep);
  ~RotatedFile();
  RotatedFile(const RotatedFile&) = delete;
  RotatedFile& operator=(const RotatedFile&) = delete;

  // One line, its newline included; a single one may be larger than the file's size.
  void append(std::string_view line, std::uint64_t now_ms);
  void flush(std::uint64_t now_ms);
  // From now on; a file that is too large for it is set aside by the next line.
  void set_limits(std::uint64_t max_bytes, std::uint32_t keep);
  [[nodiscard]] std::uint64_t lost_lines() const { return lost_lines_; }
  // Why, the last time; empty when the last write went well.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  bool open(std::uint64_t now_ms);
  void rotate();
  void close();
  void fail(const char* step);
  void lose(std::string_view lines);

  std::string path_;
  std::uint64_t max_bytes_;
  std::uint32_t keep_;
  int file_ = -1;
  std::uint64_t size_ = 0;  // of the file
  std::string unwritten_;
  std::uint64_t next_try_ms_ = 0;
  std::uint64_t lost_lines_ = 0;
  std::string problem_;
};

}  // namespace portunus::supervisor
