#include "conf/sealed_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "conf/source.h"

namespace portunus::conf {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
// Names and sizes beside the texts.
constexpr std::size_t kBytesMax = kAllFilesBytesMax + (std::size_t{16} << 20U);

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(descriptor, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

// "12 " at the front.
std::optional<std::size_t> take_number(std::string_view& text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data() + text.size() || *end != ' ') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return number;
}

std::optional<std::string> take_text(std::string_view& text, std::size_t size) {
  if (size > text.size()) return std::nullopt;
  std::string taken(text.substr(0, size));
  text.remove_prefix(size);
  return taken;
}

}  // namespace

SealedFiles::~SealedFiles() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

SealedFiles SealedFiles::make(std::span<const Part> parts) {
  SealedFiles file(::memfd_create("portunus-files", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.is_set()) return {};
  for (const Part& part : parts) {
    const std::string sizes =
        std::to_string(part.name.size()) + ' ' + std::to_string(part.text.size()) + ' ';
    if (!write_all(file.descriptor_, sizes) || !write_all(file.descriptor_, part.name) ||
        !write_all(file.descriptor_, part.text))
      return {};
  }
  if (::fcntl(file.descriptor_, F_ADD_SEALS, kSeals) != 0) return {};
  return file;
}

bool SealedFiles::is_sealed() const {
  struct stat info{};
  return ::fcntl(descriptor_, F_GET_SEALS) >= 0 &&
         (::fcntl(descriptor_, F_GET_SEALS) & kSeals) == kSeals &&
         ::fstat(descriptor_, &info) == 0 && static_cast<std::size_t>(info.st_size) <= kBytesMax;
}

std::optional<FileTexts> SealedFiles::read() const {
  struct stat info{};
  if (!is_sealed() || ::fstat(descriptor_, &info) != 0) return std::nullopt;
  std::string all(static_cast<std::size_t>(info.st_size), '\0');
  // Not by read(): the offset is shared with everybody who has it.
  for (std::size_t at = 0; at < all.size();) {
    const ssize_t size =
        ::pread(descriptor_, all.data() + at, all.size() - at, static_cast<off_t>(at));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return std::nullopt;
    at += static_cast<std::size_t>(size);
  }
  FileTexts files;
  for (std::string_view rest = all; !rest.empty();) {
    const auto name_size = take_number(rest);
    const auto text_size = name_size ? take_number(rest) : std::nullopt;
    if (!text_size) return std::nullopt;
    auto name = take_text(rest, *name_size);
    auto text = name ? take_text(rest, *text_size) : std::nullopt;
    if (!text) return std::nullopt;
    files.push_back({std::move(*name), std::move(*text)});
  }
  return files;
}

}  // namespace portunus::conf
