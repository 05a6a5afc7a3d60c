// Loads a configuration: all files, all errors at once, and a model only when there are none.
// `portunus check`, start and reload all come through here. Blocking, for the control thread;
// whoever calls owns the result.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "conf/diagnostic.h"
#include "conf/model.h"

namespace portunus::conf {

struct LoadResult {
  std::unique_ptr<const Model> model;   // null when there are errors
  std::vector<Diagnostic> diagnostics;  // errors and warnings, in the order of the files
  std::vector<std::string> files;       // read or tried, to be watched; the main one first
  std::vector<std::string> folders;     // where an `include` looks for files, to be watched too
  std::string hash;                     // of the files' contents, 16 hexadecimal digits
};

[[nodiscard]] LoadResult load_file(const std::string& path);
// The same from memory; `name` stands in messages. Touches no file: `include` is an error.
[[nodiscard]] LoadResult load_text(std::string_view text, std::string name);

// The hash of a LoadResult with these `files` as they are now; empty when one cannot be read.
[[nodiscard]] std::string hash_of_files(const std::vector<std::string>& files);

}  // namespace portunus::conf
