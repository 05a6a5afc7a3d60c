// What operators have asked of members: drained, disabled, another weight. Kept by pool and name, so
// that it holds while the member comes and goes (a reload, a replica that is started anew), and bounded.
// A member's object carries a copy of it (health::Member::admin). Control thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "health/member.h"
#include "proxy/member_list.h"

namespace portunus::proxy {

inline constexpr std::uint32_t kWeightMax = 1000;  // as in the configuration

struct MemberOrder {
  health::AdminState state = health::AdminState::enabled;
  std::uint32_t weight = 0;    // instead of the configuration's; 0 = that
  std::uint64_t since_us = 0;  // of the state; wall clock
  std::uint64_t gone_us = 0;   // no pool has had such a member since then; 0 = one has it

  [[nodiscard]] bool is_default() const {
    return state == health::AdminState::enabled && weight == 0;
  }
  friend bool operator==(const MemberOrder&, const MemberOrder&) = default;
};

class MemberOrders {
 public:
  static constexpr std::size_t kMax = 4096;
  static constexpr std::uint64_t kGoneMaxUs = std::uint64_t{7} * 24 * 3'600 * 1'000'000;

  struct Entry {
    std::string pool;
    std::string name;
    MemberOrder order;
  };

  // The default when there is none.
  [[nodiscard]] MemberOrder find(const std::string& pool, const std::string& name) const;
  // A default one is forgotten. False: there are kMax already.
  [[nodiscard]] bool set(const std::string& pool,
                         const std::string& name,
                         const MemberOrder& order);
  // Writes what is asked into the member; it is not published.
  void apply(health::Member& member) const;
  // Which of them have a member; those that have had none for kGoneMaxUs are forgotten.
  void note_present(std::span<const SharedMemberList> lists, std::uint64_t now_us);
  // In no order.
  [[nodiscard]] std::vector<Entry> all() const;

 private:
  [[nodiscard]] static std::string key_of(const std::string& pool, const std::string& name) {
    return pool + '\n' + name;
  }

  std::unordered_map<std::string, Entry> orders_;
};

}  // namespace portunus::proxy
