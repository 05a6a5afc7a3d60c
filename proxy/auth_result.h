// What became of the question to a service whether a request may go on: the words of the metrics.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portunus::proxy {

enum class AuthResult : std::uint8_t { allowed, denied, failed };
inline constexpr std::size_t kAuthResultCount = 3;

[[nodiscard]] constexpr const char* name_of(AuthResult result) {
  switch (result) {
    case AuthResult::allowed:
      return "allowed";
    case AuthResult::denied:
      return "denied";
    case AuthResult::failed:
      return "failed";
  }
  return "";
}

}  // namespace portunus::proxy
