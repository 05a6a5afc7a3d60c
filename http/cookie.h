// Reading the cookies of a Cookie field (RFC 6265 section 4.2.1), as lenient as those who read them
// behind us: spaces around a pair do not belong to it. Pure; any thread.
#pragma once

#include <string_view>

#include "http/header_block.h"

namespace portunus::http {

struct Cookie {
  std::string_view name;
  std::string_view value;  // without quotes
};

// Yields them in their order; what is no pair is left out.
class CookieWalk {
 public:
  explicit CookieWalk(std::string_view field) : rest_(field) {}
  // False at the end.
  [[nodiscard]] bool next(Cookie& cookie);

 private:
  std::string_view rest_;
};

// The value of the first cookie of that name in `field`; empty when there is none.
[[nodiscard]] std::string_view cookie_value(std::string_view field, std::string_view name);

// The same over all Cookie fields of a request.
[[nodiscard]] std::string_view cookie_value(const HeaderBlock& fields, std::string_view name);

}  // namespace portunus::http
