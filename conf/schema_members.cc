// `upstreams` of a pool.
#include <array>
#include <string>
#include <unordered_map>
#include <utility>

#include "conf/pool_draft.h"
#include "conf/reader.h"
#include "conf/tree.h"
#include "conf/units.h"

namespace portunus::conf {
namespace {

constexpr std::uint64_t kWeightMax = 1000;
constexpr std::uint64_t kMembersMax = 10'000;

void read_member_address(Reader& reader, const Key& key, const Node& value, void* object) {
  Address address;
  reader.read(key, value, address);
  if (address.port == 0) return;  // reported
  if (address.host.empty()) {
    reader.error(value.place, "`" + std::string(value.text) + "` has no host",
                 "such as 127.0.0.1" + std::string(value.text));
    return;
  }
  static_cast<Upstream*>(object)->address = std::move(address);
}

constexpr auto kUpstreamKeys = std::to_array<Key>({
    {.name = "address",
     .type = Type::address,
     .read = read_member_address,
     .doc = "`host:port`; an IPv6 address in brackets.",
     .is_required = true},
    {.name = "weight",
     .type = Type::integer,
     .read = field<&Upstream::weight>,
     .initial = "1",
     .doc = "Its share of the requests against the others'.",
     .min = 1,
     .max = kWeightMax},
    {.name = "backup",
     .type = Type::boolean,
     .read = field<&Upstream::backup>,
     .initial = "false",
     .doc = "Takes requests only while no other member is up."},
});
constexpr Section kUpstream{"an upstream", kUpstreamKeys, {}};

}  // namespace

const Section& upstream_section() {
  return kUpstream;
}

void read_upstreams(Reader& reader, const Key& key, const Node& value, void* object) {
  auto& upstreams = static_cast<PoolDraft*>(object)->pool.upstreams;
  std::unordered_map<std::string, Place> seen;
  const auto items = reader.items(key, value);
  if (items.empty()) {
    reader.error(value.place, "a pool needs at least one upstream", "such as [127.0.0.1:9001]");
  }
  if (items.size() > kMembersMax) {
    reader.error(value.place, "a pool has at most " + std::to_string(kMembersMax) + " upstreams");
    return;
  }
  for (const Node* item : items) {
    Upstream upstream;
    if (item->kind == NodeKind::mapping) {
      reader.read_section(*key.section, *item, &upstream);
    } else {
      read_member_address(reader, kUpstreamKeys.front(), *item, &upstream);
    }
    if (upstream.address.port == 0) continue;  // reported
    const auto [known, is_new] = seen.emplace(format_address(upstream.address), item->place);
    if (!is_new) {
      reader.error(item->place, "the upstream `" + known->first + "` stands here a second time",
                   "the first one is at " + reader.describe(known->second) +
                       "; `weight` gives a member a larger share");
      continue;
    }
    upstreams.push_back(std::move(upstream));
  }
}

}  // namespace portunus::conf
