// Variables by which a service manager speaks to the process it starts.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace portunus::supervisor {

// Its value, empty when it is not set; it is gone from the environment then, so that no child takes
// it for its own. Only while there is one thread.
[[nodiscard]] inline std::string take_variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): see above
  std::string taken = value == nullptr ? "" : value;
  ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
  return taken;
}

// 0 when it is not a whole number.
[[nodiscard]] inline std::uint64_t number_of(const std::string& text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && at == end ? number : 0;
}

}  // namespace portunus::supervisor
