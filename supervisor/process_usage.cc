#include "supervisor/process_usage.h"

#include <unistd.h>

#include <string>

#include "supervisor/small_file.h"

namespace portunus::supervisor {

std::optional<Usage> parse_usage(std::string_view stat,
                                 std::string_view statm,
                                 std::uint64_t ticks_per_second,
                                 std::uint64_t page_bytes) {
  // The second field is the program's name in brackets, with whatever its owner likes in it.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos || ticks_per_second == 0) return std::nullopt;
  constexpr std::size_t kUserTime = 14 - 2;  // proc_pid_stat(5), counted behind the name
  const auto user = number_at(stat.substr(name_end + 1), kUserTime - 1);
  const auto system = number_at(stat.substr(name_end + 1), kUserTime);
  const auto resident = number_at(statm, 1);
  if (!user || !system || !resident) return std::nullopt;
  return Usage{*resident * page_bytes, (*user + *system) * 1'000'000 / ticks_per_second, 0};
}

std::optional<Usage> process_usage(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  const auto stat = read_small_file(folder + "/stat");
  const auto statm = read_small_file(folder + "/statm");
  if (!stat || !statm) return std::nullopt;
  return parse_usage(*stat, *statm, static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)),
                     static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

}  // namespace portunus::supervisor
