#include "proxy/split.h"

#include <string_view>

#include "base/hash.h"
#include "http/cookie.h"

namespace portunus::proxy {
namespace {

// Other values than those by which a pool's consistent_hash places the same key: a pool would see
// only one part of its ring otherwise.
constexpr std::uint64_t kSplitSeed = 0x73706c6974;

constexpr std::size_t kV4Bytes = 4;
constexpr std::size_t kV6Bytes = 8;

std::uint64_t point_of(const net::Address& client) {
  const auto bytes = client.bytes();
  return base::stable_hash(
      {reinterpret_cast<const char*>(bytes.data()), client.is_v6() ? kV6Bytes : kV4Bytes},
      kSplitSeed);
}

}  // namespace

std::uint64_t split_point(const conf::SplitKey& key,
                          const http::Head& request,
                          const net::Address& client,
                          Random& random) {
  std::string_view value;
  switch (key.by) {
    case conf::SplitBy::request:
      return random.next();
    case conf::SplitBy::client_ip:
      break;
    case conf::SplitBy::header:
      if (const std::size_t at = request.fields.find(key.name); at != http::HeaderBlock::kNone) {
        value = request.fields.field(at).value();
      }
      break;
    case conf::SplitBy::cookie:
      value = http::cookie_value(request.fields, key.name);
      break;
  }
  return value.empty() ? point_of(client) : base::stable_hash(value, kSplitSeed);
}

std::size_t choose_share(const conf::Forward& forward,
                         std::uint32_t weight_sum,
                         std::uint64_t point) {
  std::uint64_t left = ((point >> 32U) * weight_sum) >> 32U;
  for (std::size_t i = 0; i < forward.shares.size(); ++i) {
    if (left < forward.shares[i].weight) return i;
    left -= forward.shares[i].weight;
  }
  return 0;
}

}  // namespace portunus::proxy
