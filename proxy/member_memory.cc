#include "proxy/member_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace portunus::proxy {
namespace {

using Json = nlohmann::json;
using health::AdminState;

constexpr std::string_view kMagic = "portunus-members";
constexpr std::string_view kVersion = "1";
constexpr std::size_t kHeaderMax = 128;
constexpr std::size_t kReasonMax = 256;  // bytes

std::string line_of(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string line_of(const MemberOrders::Entry& entry) {
  Json object{{"pool", entry.pool}, {"upstream", entry.name}, {"since", entry.order.since_us}};
  if (entry.order.state == AdminState::drained) object["admin"] = "drained";
  if (entry.order.state == AdminState::disabled) object["admin"] = "disabled";
  if (entry.order.weight != 0) object["weight"] = entry.order.weight;
  if (entry.order.gone_us != 0) object["gone"] = entry.order.gone_us;
  return line_of(object);
}

std::string line_of(const RememberedHealth& health) {
  Json object{{"pool", health.pool},       {"upstream", health.name},
              {"address", health.address}, {"up", health.is_up},
              {"since", health.since_us},  {"why", health.reason.substr(0, kReasonMax)}};
  if (health.life != 0) object["life"] = health.life;
  if (health.was_up) object["was_up"] = true;
  if (health.held) {
    object["held"] = {{"by", health.held->is_breaker ? "breaker" : "ejection"},
                      {"times", health.held->times},
                      {"since", health.held->since_us},
                      {"until", health.held->until_us},
                      {"why", health.held->reason.substr(0, kReasonMax)}};
  }
  return line_of(object);
}

// May throw.
std::optional<health::Held> held_of(const Json& object) {
  const auto held = object.find("held");
  if (held == object.end()) return std::nullopt;
  const std::string by = held->at("by");
  if (by != "breaker" && by != "ejection") return std::nullopt;
  return health::Held{.is_breaker = by == "breaker",
                      .times = held->at("times"),
                      .since_us = held->at("since"),
                      .until_us = held->at("until"),
                      .reason = held->at("why")};
}

// May throw.
void read_line(const Json& object, MemberMemory& memory) {
  if (object.contains("up")) {
    memory.health.push_back({.pool = object.at("pool"),
                             .name = object.at("upstream"),
                             .address = object.at("address"),
                             .is_up = object.at("up"),
                             .since_us = object.at("since"),
                             .reason = object.at("why"),
                             .life = object.value("life", std::uint32_t{0}),
                             .was_up = object.value("was_up", false),
                             .held = held_of(object)});
    return;
  }
  MemberOrders::Entry entry{object.at("pool"), object.at("upstream"), {}};
  const std::string admin = object.value("admin", "");
  if (admin == "drained") entry.order.state = AdminState::drained;
  if (admin == "disabled") entry.order.state = AdminState::disabled;
  entry.order.weight = std::min(object.value("weight", std::uint32_t{0}), kWeightMax);
  entry.order.since_us = object.at("since");
  entry.order.gone_us = object.value("gone", std::uint64_t{0});
  if (!entry.order.is_default()) memory.orders.push_back(std::move(entry));
}

std::string_view next_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

}  // namespace

std::string encode(const MemberMemory& memory, std::size_t size_max) {
  std::string lines;
  const std::size_t room = size_max - std::min(size_max, kHeaderMax);
  for (const MemberOrders::Entry& entry : memory.orders) {
    const std::string line = line_of(entry);
    if (lines.size() + line.size() <= room) lines += line;
  }
  for (const bool is_usable : {false, true}) {  // what is down, or out, is worth more
    for (const RememberedHealth& health : memory.health) {
      if ((health.is_up && !health.held) != is_usable) continue;
      const std::string line = line_of(health);
      if (lines.size() + line.size() > room) break;
      lines += line;
    }
  }
  return fmt::format("{} {} {} {:016x}\n", kMagic, kVersion, lines.size(),
                     base::stable_hash(lines)) +
         lines;
}

std::expected<MemberMemory, std::string> decode_memory(std::string_view text) {
  const std::size_t end = text.substr(0, kHeaderMax).find('\n');
  std::string_view header = text.substr(0, std::min(end, text.size()));
  if (end == std::string_view::npos || next_word(header) != kMagic) {
    return std::unexpected("it is none of ours");
  }
  if (const std::string_view version = next_word(header); version != kVersion) {
    return std::unexpected("it is of another version");
  }
  std::string_view lines = text.substr(end + 1);
  if (next_word(header) != std::to_string(lines.size())) return std::unexpected("it is cut off");
  if (header != fmt::format("{:016x}", base::stable_hash(lines))) {
    return std::unexpected("its checksum is wrong");
  }
  MemberMemory memory;
  try {
    while (!lines.empty()) {
      const std::size_t stop = std::min(lines.find('\n'), lines.size());
      read_line(Json::parse(lines.substr(0, stop)), memory);
      lines.remove_prefix(std::min(stop + 1, lines.size()));
    }
  } catch (const Json::exception& error) {
    return std::unexpected(error.what());
  }
  return memory;
}

int make_sealed_file(std::string_view text) {
  const int descriptor = ::memfd_create("portunus-members", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return -1;
  if (::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
          0) {
    return descriptor;
  }
  ::close(descriptor);
  return -1;
}

std::expected<KeptText, std::string> read_kept(int descriptor, std::size_t size_max) {
  struct stat about{};
  if (::fstat(descriptor, &about) != 0) return std::unexpected(strerrordesc_np(errno));
  if (!S_ISREG(about.st_mode)) return std::unexpected("it is no regular file");
  if (about.st_size < 0 || static_cast<std::uint64_t>(about.st_size) > size_max) {
    return std::unexpected("it is too large");
  }
  KeptText kept;
  kept.changed_us = static_cast<std::uint64_t>(about.st_mtim.tv_sec) * 1'000'000 +
                    static_cast<std::uint64_t>(about.st_mtim.tv_nsec) / 1'000;
  std::array<char, std::size_t{16} * 1024> buffer;
  while (kept.text.size() <= size_max) {
    const ssize_t size =
        ::pread(descriptor, buffer.data(), buffer.size(), static_cast<off_t>(kept.text.size()));
    if (size < 0) return std::unexpected(strerrordesc_np(errno));
    if (size == 0) return kept;
    kept.text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return std::unexpected("it is too large");
}

}  // namespace portunus::proxy
