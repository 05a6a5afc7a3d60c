// The members of one pool at one moment: immutable, built on the control thread, read by all. A
// change of members swaps the list alone; the routes and everything else stay.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "health/member.h"

namespace portunus::proxy {

struct MemberEntry {
  std::shared_ptr<health::Member> member;
  std::uint32_t weight = 1;  // 1 to 1000
  bool is_backup = false;    // used only while no other member is selectable
};

struct MemberList {
  std::vector<MemberEntry> entries;
};

}  // namespace portunus::proxy
