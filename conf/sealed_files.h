// All files that a configuration was read from, `include`d ones and those of secrets too, as one sealed
// file in memory: whoever has the descriptor can read it, and nobody can change it any more. The
// proxy makes one of the configuration that it runs on, the supervisor keeps it unread, and the
// next proxy starts on it when the files themselves are of no use. Never on a disk. Any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portunus::conf {

struct FileText {
  std::string name;  // as it was read
  std::string text;
};
using FileTexts = std::vector<FileText>;

class SealedFiles {
 public:
  struct Part {
    std::string_view name;
    std::string_view text;
  };

  SealedFiles() = default;
  // Takes ownership.
  explicit SealedFiles(int descriptor) : descriptor_(descriptor) {}
  ~SealedFiles();
  SealedFiles(const SealedFiles&) = delete;
  SealedFiles& operator=(const SealedFiles&) = delete;
  SealedFiles(SealedFiles&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  SealedFiles& operator=(SealedFiles&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  // Empty when there is no memory or no descriptor left.
  [[nodiscard]] static SealedFiles make(std::span<const Part> parts);

  [[nodiscard]] bool is_set() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // Whether it is what make() makes, in kind and size: nobody can change it or cut it short.
  [[nodiscard]] bool is_sealed() const;
  // None: it is something else.
  [[nodiscard]] std::optional<FileTexts> read() const;

 private:
  int descriptor_ = -1;
};

}  // namespace portunus::conf
