#include "base/hash.h"

#include <sys/random.h>

#include <bit>
#include <cstring>

#include "base/check.h"

namespace portunus::base {
namespace {

// Odd, with as many ones as zeros, and otherwise arbitrary; the stable hash depends on them for
// ever.
constexpr std::uint64_t kStableFirst = 0x9FB21C651E98DF25ULL;
constexpr std::uint64_t kStableSecond = 0xD6E8FEB86659FD93ULL;

// The 128-bit product folded: each bit of both factors reaches each bit of the result.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <typename Word>
std::uint64_t load(const char* at) {
  Word word = 0;
  std::memcpy(&word, at, sizeof(word));
  if constexpr (std::endian::native == std::endian::big) {
    if constexpr (sizeof(Word) == 8) return __builtin_bswap64(word);
    return __builtin_bswap32(static_cast<std::uint32_t>(word));
  }
  return word;
}

// 16 bytes a step; the last step reads the end of the text again where it overlaps, so no byte loop
// is needed. A factor of zero, which would forget the state, needs a text that equals the secret.
std::uint64_t hash(std::string_view text,
                   std::uint64_t state,
                   std::uint64_t first,
                   std::uint64_t second) {
  const char* at = text.data();
  std::size_t size = text.size();
  state ^= second;
  while (size > 16) {
    state = fold(load<std::uint64_t>(at) ^ first, load<std::uint64_t>(at + 8) ^ state);
    at += 16;
    size -= 16;
  }
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  if (size >= 8) {
    low = load<std::uint64_t>(at);
    high = load<std::uint64_t>(at + size - 8);
  } else if (size >= 4) {
    low = load<std::uint32_t>(at);
    high = load<std::uint32_t>(at + size - 4);
  } else if (size > 0) {
    const auto byte = [at](std::size_t i) {
      return std::uint64_t{static_cast<unsigned char>(at[i])};
    };
    low = byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16;
  }
  state = fold(low ^ first, high ^ state);
  return fold(state ^ text.size(), first ^ std::rotl(second, 32));
}

std::uint64_t random_word() {
  std::uint64_t word = 0;
  // Below 256 bytes it is never interrupted, and it fails only on kernels without the call.
  CHECK(getrandom(&word, sizeof(word), 0) == static_cast<ssize_t>(sizeof(word)));
  return word;
}

}  // namespace

KeyedHash::KeyedHash() : KeyedHash(random_word(), random_word()) {}

KeyedHash::KeyedHash(std::uint64_t first, std::uint64_t second)
    : first_(first ^ kStableFirst), second_(second ^ kStableSecond) {}

std::uint64_t KeyedHash::operator()(std::string_view text, std::uint64_t seed) const {
  return hash(text, seed, first_, second_);
}

std::uint64_t stable_hash(std::string_view text, std::uint64_t number) {
  return hash(text, fold(number ^ kStableSecond, kStableFirst), kStableFirst, kStableSecond);
}

}  // namespace portunus::base
