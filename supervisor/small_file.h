// Files that the kernel makes up: /proc and cgroups. Read and written in one go. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace portunus::supervisor {

// None when it cannot be read (errno says why); no more than 64 KiB of it.
[[nodiscard]] std::optional<std::string> read_small_file(const std::string& path);
// False when it was not taken; errno says why. Made when it is not there, where files can be made.
bool write_small_file(const std::string& path, std::string_view text);

// The n-th word (from 0), a whole number. None when it is not.
[[nodiscard]] std::optional<std::uint64_t> number_at(std::string_view text, std::size_t word);
// Of the line "KEY NUMBER".
[[nodiscard]] std::optional<std::uint64_t> number_of_key(std::string_view text,
                                                         std::string_view key);

}  // namespace portunus::supervisor
