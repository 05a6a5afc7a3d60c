#include "supervisor/cgroup.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "supervisor/small_file.h"

namespace portunus::supervisor {
namespace {

constexpr std::string_view kPrefix = "portunus-";
constexpr std::string_view kLeaf = "/portunus-supervisor";
constexpr std::uint64_t kPeriodUs = 100'000;

std::string why() {
  const char* const text = ::strerrordesc_np(errno);
  return text == nullptr ? "error " + std::to_string(errno) : text;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; (at = text.find_first_not_of(" \n", at)) != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

bool has_word(std::string_view text, std::string_view word) {
  return std::ranges::count(words_of(text), word) > 0;
}

}  // namespace

std::string find_own_cgroup(std::string_view mounts, std::string_view groups) {
  std::string_view group;
  while (!groups.empty() && group.empty()) {
    const std::string_view line = next_line(groups);
    if (line.starts_with("0::/")) group = line.substr(3);
  }
  if (group.empty() || group.starts_with("/..")) return "";
  while (!mounts.empty()) {
    // 35 24 0:30 ROOT MOUNTPOINT options... - cgroup2 source options
    const std::string_view line = next_line(mounts);
    const std::vector<std::string_view> words = words_of(line);
    if (words.size() < 6 || line.find(" - cgroup2 ") == std::string_view::npos) continue;
    const std::string_view root = words[3] == "/" ? "" : words[3];
    if (!group.starts_with(root)) continue;
    std::string_view below = group.substr(root.size());
    if (!below.empty() && !below.starts_with('/')) continue;
    if (below == "/") below = "";
    return std::string(words[4]) + std::string(below);
  }
  return "";
}

std::string find_own_cgroup() {
  return find_own_cgroup(read_small_file("/proc/self/mountinfo").value_or(""),
                         read_small_file("/proc/self/cgroup").value_or(""));
}

bool is_delegated_cgroup(const std::string& folder) {
  if (folder.ends_with(kLeaf)) return true;
  std::array<char, 8> value{};
  return !folder.empty() &&
         ::getxattr(folder.c_str(), "user.delegate", value.data(), value.size()) == 1 &&
         value.front() == '1';
}

CgroupTree::CgroupTree(const std::string& own) : root_(own) {
  if (root_.empty()) {
    problem_ = "there is no cgroup v2";
    return;
  }
  if (root_.ends_with(kLeaf)) root_.resize(root_.size() - kLeaf.size());
  // The machine's root group has no such file; dividing that one is not for us.
  if (!read_small_file(root_ + "/cgroup.events")) {
    problem_ = root_ + " is not a group of our own";
    return;
  }
  const auto controllers = read_small_file(root_ + "/cgroup.controllers");
  if (!controllers) {
    give_up("read cgroup.controllers");
    return;
  }
  if (!enter_leaf()) return;
  is_available_ = true;
  hand_down(*controllers);
}

bool CgroupTree::enter_leaf() {
  const std::string leaf = root_ + std::string(kLeaf);
  if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) {
    give_up("make " + leaf);
    return false;
  }
  if (write_small_file(leaf + "/cgroup.procs", std::to_string(::getpid()))) return true;
  give_up("enter " + leaf);
  ::rmdir(leaf.c_str());
  return false;
}

// Each by itself: one that the kernel refuses does not take the other along. EBUSY: somebody else is
// in our group, and then it is not ours alone.
void CgroupTree::hand_down(std::string_view controllers) {
  const std::string file = root_ + "/cgroup.subtree_control";
  const auto give = [this, &file, controllers](std::string_view name) {
    if (!has_word(controllers, name)) {
      problem_ += (problem_.empty() ? "no controller " : ", no controller ") + std::string(name);
      return false;
    }
    const auto given = read_small_file(file);
    if (given && has_word(*given, name)) return true;
    if (write_small_file(file, "+" + std::string(name))) return true;
    problem_ +=
        (problem_.empty() ? "hand down " : ", hand down ") + std::string(name) + ": " + why();
    return false;
  };
  has_memory_ = give("memory");
  has_cpu_ = give("cpu");
}

void CgroupTree::give_up(const std::string& step) {
  problem_ = step + ": " + why();
}

std::expected<std::string, std::string> CgroupTree::add(const std::string& name,
                                                        const CgroupLimits& limits) const {
  if (!is_available_) return std::unexpected(problem_);
  std::string folder = root_ + '/' + std::string(kPrefix) + name;
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return std::unexpected("make " + folder + ": " + why());
  }
  const std::string memory = limits.memory_bytes == 0 ? "max" : std::to_string(limits.memory_bytes);
  const std::string cpu =
      (limits.cpu_percent == 0 ? "max" : std::to_string(limits.cpu_percent * kPeriodUs / 100)) +
      ' ' + std::to_string(kPeriodUs);
  if (has_memory_) {
    if (!write_small_file(folder + "/memory.max", memory)) {
      return std::unexpected("write " + folder + "/memory.max: " + why());
    }
    // Half a replica is of no use; older kernels have no such file.
    static_cast<void>(!write_small_file(folder + "/memory.oom.group", "1"));
  }
  if (has_cpu_ && !write_small_file(folder + "/cpu.max", cpu)) {
    return std::unexpected("write " + folder + "/cpu.max: " + why());
  }
  return folder;
}

bool kill_cgroup(const std::string& folder) {
  if (::access((folder + "/cgroup.kill").c_str(), W_OK) == 0 &&
      write_small_file(folder + "/cgroup.kill", "1")) {
    return true;
  }
  // Before Linux 5.14. What is forked meanwhile is left for the next call.
  const auto processes = read_small_file(folder + "/cgroup.procs");
  if (!processes) return false;
  bool is_any = false;
  for (std::size_t i = 0;; ++i) {
    const auto pid = number_at(*processes, i);
    if (!pid) return is_any;
    if (*pid > 1) is_any = ::kill(static_cast<pid_t>(*pid), SIGKILL) == 0 || is_any;
  }
}

std::optional<Usage> cgroup_usage(const std::string& folder) {
  const auto cpu = read_small_file(folder + "/cpu.stat");
  if (!cpu) return std::nullopt;
  Usage usage;
  usage.cpu_us = number_of_key(*cpu, "usage_usec").value_or(0);
  usage.memory_bytes =
      number_at(read_small_file(folder + "/memory.current").value_or(""), 0).value_or(0);
  usage.oom_kills =
      number_of_key(read_small_file(folder + "/memory.events").value_or(""), "oom_kill")
          .value_or(0);
  return usage;
}

bool remove_cgroup(const std::string& folder) {
  return ::rmdir(folder.c_str()) == 0 || errno == ENOENT;
}

}  // namespace portunus::supervisor
