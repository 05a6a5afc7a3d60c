#include "http/header_id.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace portunus::http {
namespace {

constexpr std::size_t kCount = static_cast<std::size_t>(HeaderId::count);
constexpr std::size_t kLongest = 24;  // sec-websocket-extensions
constexpr std::size_t kShortest = 2;  // te

// In the order of HeaderId.
constexpr std::array<std::string_view, kCount> kNames{
    "",
    "",
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "location",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "proxy-status",
    "range",
    "referer",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
};

constexpr std::uint64_t kLowerBits = 0x2020202020202020;
constexpr std::uint64_t kLetterBits = 0x4040404040404040;

// The first and the last bytes of a name as two words: together with its length they cover all of a
// name of up to 16 bytes, and enough of a longer one to tell the known names apart.
struct Ends {
  std::uint64_t first;
  std::uint64_t last;
};

template <typename Word>
constexpr std::uint64_t load(const char* bytes) {
  if (std::is_constant_evaluated()) {
    std::uint64_t word = 0;
    for (std::size_t i = sizeof(Word); i-- > 0;) {
      word = word << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return word;
  }
  Word word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

// size >= kShortest
constexpr Ends ends_of(const char* name, std::size_t size) {
  if (size >= 8) return {load<std::uint64_t>(name), load<std::uint64_t>(name + size - 8)};
  if (size >= 4) return {load<std::uint32_t>(name), load<std::uint32_t>(name + size - 4)};
  return {load<std::uint16_t>(name), load<std::uint16_t>(name + size - 2)};
}

constexpr std::size_t slot_of(Ends ends, std::size_t size, std::uint64_t factor) {
  const std::uint64_t mixed =
      (ends.first | kLowerBits) + std::rotl(ends.last | kLowerBits, 29) + size;
  return static_cast<std::size_t>((mixed * factor) >> 56);
}

struct Table {
  std::uint64_t factor = 0;
  std::array<std::uint8_t, 256> ids{};
};

// A factor under which no two names share a slot, found while compiling. The search starts where it
// ended the last time, since clang allows few steps; after new names, g++ may have to find it
// again.
constexpr Table build_table() {
  std::uint64_t factor = 0xee17e2743e15871b;
  for (int round = 0; round < 20000; ++round) {
    Table table{factor, {}};
    bool is_perfect = true;
    for (std::size_t id = static_cast<std::size_t>(HeaderId::accept); id < kCount; ++id) {
      const std::string_view name = kNames[id];
      auto& place = table.ids[slot_of(ends_of(name.data(), name.size()), name.size(), factor)];
      is_perfect = place == 0;
      if (!is_perfect) break;
      place = static_cast<std::uint8_t>(id);
    }
    if (is_perfect) return table;
    factor = (factor * 6364136223846793005u + 1442695040888963407u) | 1;
  }
  return {};
}
constexpr Table kTable = build_table();
static_assert(kTable.factor != 0);

// `name` is lower case. Only letters have the bit of kLetterBits among the bytes of our names, so a
// differing byte must be the same letter in the other case.
constexpr bool is_same_word(std::uint64_t text, std::uint64_t name) {
  return ((text ^ name) & ~((name & kLetterBits) >> 1)) == 0;
}

bool is_same(const char* text, const char* name, std::size_t size) {
  const Ends a = ends_of(text, size);
  const Ends b = ends_of(name, size);
  if (!is_same_word(a.first, b.first) || !is_same_word(a.last, b.last)) return false;
  return size <= 16 || is_same_word(load<std::uint64_t>(text + 8), load<std::uint64_t>(name + 8));
}

}  // namespace

HeaderId header_id_of(std::string_view name) {
  const std::size_t size = name.size();
  if (size < kShortest || size > kLongest) return HeaderId::other;
  const std::uint8_t id = kTable.ids[slot_of(ends_of(name.data(), size), size, kTable.factor)];
  const std::string_view known = kNames[id];  // empty in an unused slot
  if (known.size() != size || !is_same(name.data(), known.data(), size)) return HeaderId::other;
  return static_cast<HeaderId>(id);
}

std::string_view header_name_of(HeaderId id) {
  return kNames[static_cast<std::size_t>(id)];
}

bool is_hop_by_hop(HeaderId id) {
  constexpr std::uint64_t kHopByHop =
      header_bit(HeaderId::connection) | header_bit(HeaderId::keep_alive) |
      header_bit(HeaderId::proxy_connection) | header_bit(HeaderId::te) |
      header_bit(HeaderId::transfer_encoding) | header_bit(HeaderId::upgrade) |
      header_bit(HeaderId::http2_settings);
  return (kHopByHop & header_bit(id)) != 0;
}

}  // namespace portunus::http
