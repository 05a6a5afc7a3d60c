// One pick among few and many members, by each policy, with all members up and idle, and with nine
// of ten down.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "proxy/balancer.h"

namespace portunus::proxy {
namespace {

MemberList make_members(std::size_t count, bool is_mostly_down) {
  MemberList list;
  for (std::size_t i = 0; i < count; ++i) {
    auto member = std::make_shared<health::Member>("pool", "10.0.0." + std::to_string(i) + ":8080",
                                                   net::Address());
    const bool is_down = is_mostly_down && i % 10 != 0;
    member->state = is_down ? health::MemberState::down : health::MemberState::up;
    list.entries.push_back({std::move(member), 1 + static_cast<std::uint32_t>(i % 3), false});
  }
  return list;
}

void pick_from(benchmark::State& state, const conf::Pool& pool, const MemberList& list) {
  const auto balancer = make_balancer(pool);
  balancer->set_members(list);
  Random random(5);
  std::size_t index = 0;
  for (auto _ : state) {
    const PickInput input{.key = random.next(), .tried = {}};
    if (balancer->pick(input, random, index) != PickResult::picked) state.SkipWithError("no pick");
    benchmark::DoNotOptimize(index);
  }
}

// Arguments: the policy, the number of members, whether nine of ten are down.
void pick(benchmark::State& state) {
  conf::Pool pool;
  pool.balance = static_cast<conf::Balance>(state.range(0));
  const MemberList list =
      make_members(static_cast<std::size_t>(state.range(1)), state.range(2) != 0);
  pick_from(state, pool, list);
}
BENCHMARK(pick)
    ->ArgNames({"policy", "members", "down"})
    ->ArgsProduct({{0, 1, 2, 3}, {3, 32, 100, 1000, 10000}, {0, 1}});

// consistent_hash with a bound on loads, ten requests at each member. Argument: the number of members.
void pick_bounded(benchmark::State& state) {
  conf::Pool pool;
  pool.balance = conf::Balance::consistent_hash;
  pool.hash_bound_ratio = 0.25;
  const MemberList list = make_members(static_cast<std::size_t>(state.range(0)), false);
  for (const MemberEntry& entry : list.entries)
    entry.member->in_flight = 10 * entry.weight;
  pick_from(state, pool, list);
}
BENCHMARK(pick_bounded)->ArgName("members")->ArgsProduct({{3, 32, 100, 10000}});

// What a change of the member list costs a thread.
void set_members(benchmark::State& state) {
  conf::Pool pool;
  pool.balance = static_cast<conf::Balance>(state.range(0));
  const MemberList list = make_members(static_cast<std::size_t>(state.range(1)), false);
  const auto balancer = make_balancer(pool);
  for (auto _ : state)
    balancer->set_members(list);
}
BENCHMARK(set_members)
    ->ArgNames({"policy", "members"})
    ->ArgsProduct({{0, 1, 2, 3}, {32, 10000}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace portunus::proxy
