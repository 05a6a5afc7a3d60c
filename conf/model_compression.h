// Which answers are compressed on their way to clients. See conf/model.h for what holds for all of the
// model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/model_values.h"

namespace portunus::conf {

enum class ContentCoding : std::uint8_t { gzip, br, zstd };
// How much time is given for how many bytes less.
enum class CompressionLevel : std::uint8_t { fast, balanced, small };

struct Compression {
  static constexpr std::size_t kTypesMax = 64;

  std::vector<ContentCoding> codings;  // those that are wanted most first; never empty
  CompressionLevel level = CompressionLevel::balanced;
  // Media types in lower case, `text/html` or `text/*`; never empty.
  std::vector<std::string> types;
  std::uint64_t min_bytes = 1024;  // answers that are known to be shorter stay as they are
  friend bool operator==(const Compression&, const Compression&) = default;
};

// With everything at its default.
[[nodiscard]] Compression default_compression();

}  // namespace portunus::conf
