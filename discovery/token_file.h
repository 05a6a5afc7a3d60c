// A secret in a file, read again whenever the file has changed. While it cannot be read, or holds no
// token, the last one stays. Reads a few bytes of a local file: control thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace portunus::discovery {

class TokenFile {
 public:
  static constexpr std::size_t kTokenMax = 4'096;  // bytes

  // Empty: none.
  void set(const std::string& path);
  // Looks whether it has changed. False when there has never been a token in it.
  bool refresh();
  // Without the white space around it. Never to be logged.
  [[nodiscard]] const std::string& token() const { return token_; }

 private:
  using Stamp = std::array<std::int64_t, 6>;

  void take(int descriptor, const Stamp& stamp);

  std::string path_;
  std::string token_;
  Stamp stamp_{};
};

// Whether it may stand in a field of a request: visible ASCII.
[[nodiscard]] bool is_token(const std::string& text);

}  // namespace portunus::discovery
