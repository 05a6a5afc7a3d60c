// Loads a configuration: all files, all errors at once, and a model only when there are none.
// `portunus check`, start and reload all come through here. Blocking, for the control thread;
// whoever calls owns the result.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "conf/diagnostic.h"
#include "conf/model.h"
#include "conf/sealed_files.h"

namespace portunus::net {
class CertificateCache;
}

namespace portunus::conf {

struct LoadResult {
  std::unique_ptr<const Model> model;   // null when there are errors
  std::vector<Diagnostic> diagnostics;  // errors and warnings, in the order of the files
  std::vector<std::string> files;       // read or tried, to be watched; the main one first
  std::vector<std::string> folders;     // where an `include` looks for files, to be watched too
  std::string hash;                     // of the files' contents, 16 hexadecimal digits
  std::string shown_hash;               // of all but the files of secrets: for everybody to see
  SealedFiles copy;                     // of the files, when it was asked for and there is a model
  // Certificates and keys: they count neither among `files` nor for the hashes above.
  std::vector<std::string> certificate_files;
  std::string certificates_hash;
};

struct LoadOptions {
  // Of the files on the disk. Certificates are read from there all the same; one that cannot be read
  // is then left out with a warning.
  const FileTexts* instead = nullptr;
  bool keeps_copy = false;
  bool reads_certificates = true;
  net::CertificateCache* certificates = nullptr;  // what is known already; may be null
  bool is_for_root = false;  // whoever reads it is root: services without a user would be, too
};

[[nodiscard]] LoadResult load_file(const std::string& path, const LoadOptions& options = {});
// The same from memory; `name` stands in messages. Touches no file: `include` is an error.
[[nodiscard]] LoadResult load_text(std::string_view text, std::string name);

// The hash of a LoadResult with these `files` as they are now; empty when one cannot be read.
[[nodiscard]] std::string hash_of_files(const std::vector<std::string>& files);

// One of these files or folders has, or is not there; in microseconds of the wall clock.
[[nodiscard]] bool have_changed_since(const std::vector<std::string>& files, std::uint64_t time_us);

}  // namespace portunus::conf
