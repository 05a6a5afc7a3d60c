// Lists of instances on disk, one file for each query, so that the program starts with members while
// Consul is away. Written aside and renamed, readable by the owner only, with a checksum: a torn
// file is none. Not synced: after a power failure there may be an older one, or none. Blocking;
// control thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "discovery/instance.h"

namespace portunus::discovery {

inline constexpr std::size_t kSnapshotMax = std::size_t{16} * 1024 * 1024;  // bytes

struct Snapshot {
  Instances instances;         // ascending by name
  std::uint64_t saved_us = 0;  // when Consul last said so; wall clock
};

// Pure.
[[nodiscard]] std::string encode_snapshot(std::string_view key, const Snapshot& snapshot);
// The error is a literal.
[[nodiscard]] std::expected<Snapshot, const char*> decode_snapshot(std::string_view key,
                                                                   std::string_view text);

// Of a query, in the folder.
[[nodiscard]] std::string snapshot_path(const std::string& folder, std::string_view key);
// The error is one line. The folder is made when it is not there.
[[nodiscard]] std::expected<void, std::string> save_snapshot(const std::string& folder,
                                                             std::string_view key,
                                                             const Snapshot& snapshot);
[[nodiscard]] std::expected<Snapshot, std::string> load_snapshot(const std::string& folder,
                                                                 std::string_view key);

}  // namespace portunus::discovery
