// What became of a client's wish for its own member: the words of the access log and the metrics.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portunus::proxy {

// Of one request.
enum class StickyResult : std::uint8_t {
  none,  // the pool is not sticky
  hit,   // the member that the cookie names has answered
  miss,  // there is no good cookie
  lost,  // another has answered than the one that it names, or nobody
};
inline constexpr std::size_t kStickyResultCount = 4;

[[nodiscard]] constexpr const char* name_of(StickyResult result) {
  switch (result) {
    case StickyResult::none:
      return "";
    case StickyResult::hit:
      return "hit";
    case StickyResult::miss:
      return "miss";
    case StickyResult::lost:
      return "lost";
  }
  return "";
}

}  // namespace portunus::proxy
