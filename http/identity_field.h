// The names of the fields by which members are told who a client is by its certificate: Client-Cert and
// Client-Cert-Chain (RFC 9440), X-Client-Cert-*. What a client sends under such a name is removed,
// whoever it is. Pure; any thread.
#pragma once

#include <string_view>

#include "http/grammar.h"

namespace portunus::http {

// `name` in lower case; names that become one when '_' and '.' are read as '-' are such as well.
[[nodiscard]] inline bool is_identity_field(std::string_view name) {
  constexpr std::string_view kCommon = "client-cert";
  const auto is_like = [](char c, char wanted) {
    return c == wanted || (wanted == '-' && is_in(c, kFoldedChar));
  };
  if (name.size() > 2 && name[0] == 'x' && is_like(name[1], '-')) name.remove_prefix(2);
  if (name.size() < kCommon.size() || name[0] != kCommon[0]) return false;
  for (std::size_t i = 1; i < kCommon.size(); ++i) {
    if (!is_like(name[i], kCommon[i])) return false;
  }
  return true;
}

}  // namespace portunus::http
