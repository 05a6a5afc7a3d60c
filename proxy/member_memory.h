// What is known of members, as a text that outlives this process: their health, and what operators
// have asked of them. The supervisor keeps it without looking into it (supervisor/member_keeper.h) and
// hands it to the next proxy, which believes nothing of it that it cannot check.
//
//   portunus-members 1 SIZE CHECKSUM\n      SIZE bytes follow; their base::stable_hash in hex
//   {"pool":..,"upstream":..,...}\n         one line for each order, then for each member's health
//
// The time of the last change of the file says how old it is: the supervisor renews it while the proxy
// lives. Health that is older than kHealthAgeMaxUs is of no use; orders hold. Pure functions but for
// the two about files; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "health/traffic_judge.h"
#include "proxy/member_orders.h"

namespace portunus::proxy {

inline constexpr std::uint64_t kHealthAgeMaxUs = 60'000'000;

struct RememberedHealth {
  std::string pool;
  std::string name;
  std::string address;
  bool is_up = false;
  std::uint64_t since_us = 0;  // wall clock
  std::string reason;
  std::uint32_t life = 0;  // of a replica: which process it is (supervisor/message.h)
  bool was_up = false;     // of one that is down (health::ProbeStatus)
  std::optional<health::Held> held = std::nullopt;  // by its traffic
  friend bool operator==(const RememberedHealth&, const RememberedHealth&) = default;
};

struct MemberMemory {
  std::vector<RememberedHealth> health;
  std::vector<MemberOrders::Entry> orders;
};

// No longer than `size_max`: the last health goes without.
[[nodiscard]] std::string encode(const MemberMemory& memory, std::size_t size_max);
// The error is one line. What it does not know of a line is ignored.
[[nodiscard]] std::expected<MemberMemory, std::string> decode_memory(std::string_view text);

// A file in memory with that text which nobody can change any more; -1: there is none to be had.
[[nodiscard]] int make_sealed_file(std::string_view text);

struct KeptText {
  std::string text;
  std::uint64_t changed_us = 0;  // wall clock
};
// All of a regular file of at most `size_max` bytes, wherever its position is. The error is one line.
[[nodiscard]] std::expected<KeptText, std::string> read_kept(int descriptor, std::size_t size_max);

}  // namespace portunus::proxy
