// Answers of Consul's from any bytes: what is accepted is in order, has each name once, and holds
// nothing that cannot be a member; and written as a snapshot it is read again as it was. The first
// byte chooses the rule.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "discovery/consul_json.h"
#include "discovery/snapshot.h"

using namespace portunus;

namespace {

constexpr std::size_t kFuzzInstancesMax = 64;
constexpr std::uint8_t kFuzzRules = 3;

void demand(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto rule = static_cast<discovery::WarningRule>(data[0] % kFuzzRules);
  auto parsed = discovery::parse_health(text.substr(1), rule, kFuzzInstancesMax);
  static_cast<void>(discovery::decode_snapshot("web", text));
  if (!parsed) return 0;
  demand(parsed->instances.size() + parsed->left_out <= kFuzzInstancesMax);
  demand((parsed->left_out == 0) == parsed->left_out_reason.empty());
  const discovery::Instance* before = nullptr;
  for (const discovery::Instance& one : parsed->instances) {
    demand(before == nullptr || before->name < one.name);
    demand(one.address.is_set() && one.address.port() != 0 && one.name == one.address.text());
    demand(one.weight >= 1 && one.weight <= discovery::kConsulWeightMax);
    demand(!(one.is_usable && one.is_draining) && !one.is_kept);
    demand(!one.id.empty() && one.id.size() <= discovery::kConsulNameMax);
    before = &one;
  }
  const discovery::Snapshot snapshot{.instances = std::move(parsed->instances), .saved_us = 1};
  const auto again = discovery::decode_snapshot("web", encode_snapshot("web", snapshot));
  demand(again.has_value() && again->instances == snapshot.instances);
  return 0;
}
