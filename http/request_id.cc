#include "http/request_id.h"

#include <sys/random.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "http/grammar.h"

namespace portunus::http {
namespace {

// xoshiro256++ of Blackman and Vigna (public domain): 256 bits of state.
class Generator {
 public:
  Generator() {
    std::size_t filled = 0;
    while (filled < sizeof(state_)) {
      const ssize_t got =
          getrandom(reinterpret_cast<char*>(state_.data()) + filled, sizeof(state_) - filled, 0);
      CHECK(got > 0);  // for so few bytes it cannot be interrupted; seccomp must let it through
      filled += static_cast<std::size_t>(got);
    }
    state_[0] |= 1;  // never all zero
  }
  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

 private:
  std::array<std::uint64_t, 4> state_;
};

// The low 4 bits of each byte as a hex digit, eight at once.
std::uint64_t hex_of(std::uint64_t nibbles) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  const std::uint64_t above_nine = ((nibbles + kOnes * 6) >> 4) & kOnes;
  return nibbles + kOnes * '0' + above_nine * ('a' - '0' - 10);
}

}  // namespace

void write_request_id(char* out) {
  thread_local Generator generator;
  for (std::size_t half = 0; half < 2; ++half) {
    constexpr std::uint64_t kNibbles = 0x0f0f0f0f0f0f0f0f;
    const std::uint64_t random = generator.next();
    const std::uint64_t words[] = {hex_of(random & kNibbles), hex_of((random >> 4) & kNibbles)};
    std::memcpy(out + half * 16, words, 16);
  }
}

bool is_request_id(std::string_view text) {
  if (text.empty() || text.size() > kRequestIdMax) return false;
  constexpr std::string_view kOthers = "-_.:+/=@";
  for (const char c : text) {
    const char lower = to_lower(c);
    if ((lower < 'a' || lower > 'z') && !is_digit(c) && kOthers.find(c) == kOthers.npos) {
      return false;
    }
  }
  return true;
}

}  // namespace portunus::http
