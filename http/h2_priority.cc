#include "http/h2_priority.h"

#include "http/grammar.h"

namespace portunus::http {

H2Priority read_priority(std::string_view field, H2Priority before) {
  // A dictionary of RFC 8941, of which two keys matter; their parameters (";...") mean nothing.
  for (std::string_view member = next_element(field); !member.empty();
       member = next_element(field)) {
    member = trim_ows(member.substr(0, member.find(';')));
    if (member.size() == 3 && member.starts_with("u=") && member[2] >= '0' && member[2] <= '7') {
      before.urgency = static_cast<std::uint8_t>(member[2] - '0');
    } else if (member == "i" || member == "i=?1") {
      before.is_incremental = true;
    } else if (member == "i=?0") {
      before.is_incremental = false;
    }
  }
  return before;
}

}  // namespace portunus::http
