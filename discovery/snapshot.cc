#include "discovery/snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace portunus::discovery {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMagic = "portunus-instances 1 ";
constexpr std::size_t kSnapshotInstancesMax = 65'536;
constexpr std::uint32_t kSnapshotWeightMax = 1'000;

Json to_json(const Instance& instance) {
  return {{"id", instance.id},
          {"node", instance.node},
          {"name", instance.name},
          {"weight", instance.weight},
          {"backup", instance.is_backup},
          {"draining", instance.is_draining},
          {"usable", instance.is_usable},
          {"status", static_cast<unsigned>(instance.status)},
          {"reason", instance.reason},
          {"group", instance.group}};
}

bool take_text(const Json& object, const char* name, std::string& out) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return false;
  out = found->get<std::string>();
  return true;
}
bool take_flag(const Json& object, const char* name, bool& out) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_boolean()) return false;
  out = found->get<bool>();
  return true;
}
std::optional<std::uint64_t> take_number(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::optional<Instance> from_json(const Json& object) {
  Instance instance;
  const bool has_texts =
      take_text(object, "id", instance.id) && take_text(object, "node", instance.node) &&
      take_text(object, "name", instance.name) && take_text(object, "reason", instance.reason) &&
      take_text(object, "group", instance.group);
  const bool has_flags = take_flag(object, "backup", instance.is_backup) &&
                         take_flag(object, "draining", instance.is_draining) &&
                         take_flag(object, "usable", instance.is_usable);
  const auto weight = take_number(object, "weight");
  const auto status = take_number(object, "status");
  if (!has_texts || !has_flags || !weight || !status) return std::nullopt;
  if (*weight == 0 || *weight > kSnapshotWeightMax) return std::nullopt;
  if (*status > static_cast<unsigned>(InstanceStatus::maintenance)) return std::nullopt;
  instance.weight = static_cast<std::uint32_t>(*weight);
  instance.status = static_cast<InstanceStatus>(*status);
  instance.address = net::Address::parse(instance.name);
  if (!instance.address.is_set() || instance.address.port() == 0) return std::nullopt;
  return instance;
}

// Takes a number and the character behind it off `text`.
std::optional<std::uint64_t> cut_number(std::string_view& text, int base, char behind) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc{} || at == end || *at != behind) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(at - text.data()) + 1);
  return number;
}

std::string errno_text() {
  return std::error_code(errno, std::generic_category()).message();
}

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

// The whole of a regular file; nothing when it cannot be read or is too large.
std::optional<std::string> read_all(int descriptor) {
  struct stat facts{};
  if (::fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size < 0 ||
      static_cast<std::uint64_t>(facts.st_size) > kSnapshotMax) {
    return std::nullopt;
  }
  std::string text(static_cast<std::size_t>(facts.st_size), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t count = ::read(descriptor, text.data() + have, text.size() - have);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    have += static_cast<std::size_t>(count);
  }
  return text;
}

}  // namespace

std::string encode_snapshot(std::string_view key, const Snapshot& snapshot) {
  Json list = Json::array();
  for (const Instance& instance : snapshot.instances)
    list.push_back(to_json(instance));
  const Json whole{{"key", key}, {"instances", std::move(list)}};
  const std::string body = whole.dump(-1, ' ', false, Json::error_handler_t::replace);
  return fmt::format("{}{:016x} {}\n{}", kMagic, base::stable_hash(body, snapshot.saved_us),
                     snapshot.saved_us, body);
}

std::expected<Snapshot, const char*> decode_snapshot(std::string_view key, std::string_view text) {
  if (text.size() > kSnapshotMax) return std::unexpected("too large");
  if (!text.starts_with(kMagic)) return std::unexpected("of another kind");
  text.remove_prefix(kMagic.size());
  const auto sum = cut_number(text, 16, ' ');
  const auto saved_us = cut_number(text, 10, '\n');
  // Before anything is made of the rest.
  if (!sum || !saved_us || base::stable_hash(text, *saved_us) != *sum) {
    return std::unexpected("torn");
  }
  const Json whole = Json::parse(text.begin(), text.end(), nullptr, false);
  const auto named = whole.find("key");
  const auto list = whole.find("instances");
  if (whole.is_discarded() || !whole.is_object() || named == whole.end() || list == whole.end() ||
      !named->is_string() || !list->is_array() || list->size() > kSnapshotInstancesMax) {
    return std::unexpected("wrong within");
  }
  if (named->get_ref<const std::string&>() != key) return std::unexpected("of another query");
  Snapshot snapshot{.instances = {}, .saved_us = *saved_us};
  for (const Json& entry : *list) {
    auto instance = from_json(entry);
    if (!instance) return std::unexpected("an instance in it is wrong");
    snapshot.instances.push_back(std::move(*instance));
  }
  const auto is_not_before = [](const Instance& a, const Instance& b) {
    return a.name >= b.name;
  };
  if (std::ranges::adjacent_find(snapshot.instances, is_not_before) != snapshot.instances.end()) {
    return std::unexpected("not in order");
  }
  return snapshot;
}

std::string snapshot_path(const std::string& folder, std::string_view key) {
  return fmt::format("{}/{:016x}.instances", folder, base::stable_hash(key));
}

std::expected<void, std::string> save_snapshot(const std::string& folder,
                                               std::string_view key,
                                               const Snapshot& snapshot) {
  const std::string path = snapshot_path(folder, key);
  const std::string fresh = path + ".new";
  constexpr mode_t kOwnerOnly = 0600;
  constexpr mode_t kOwnerFolder = 0700;
  if (::mkdir(folder.c_str(), kOwnerFolder) != 0 && errno != EEXIST) {
    return std::unexpected(folder + ": " + errno_text());
  }
  // Neither a link nor what somebody else has put there is written to.
  ::unlink(fresh.c_str());
  const int descriptor =
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (descriptor < 0) return std::unexpected(fresh + ": " + errno_text());
  bool is_good = write_all(descriptor, encode_snapshot(key, snapshot));
  is_good = ::close(descriptor) == 0 && is_good;
  if (is_good && ::rename(fresh.c_str(), path.c_str()) == 0) return {};
  std::string error = path + ": " + errno_text();
  ::unlink(fresh.c_str());
  return std::unexpected(std::move(error));
}

std::expected<Snapshot, std::string> load_snapshot(const std::string& folder,
                                                   std::string_view key) {
  const std::string path = snapshot_path(folder, key);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return std::unexpected(path + ": " + errno_text());
  const auto text = read_all(descriptor);
  ::close(descriptor);
  if (!text) return std::unexpected(path + ": cannot be read, or is too large");
  auto snapshot = decode_snapshot(key, *text);
  if (!snapshot) return std::unexpected(path + ": " + snapshot.error());
  return std::move(*snapshot);
}

}  // namespace portunus::discovery
