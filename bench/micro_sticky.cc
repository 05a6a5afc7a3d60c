// What a sticky pool adds to a request: reading its cookie, taking it out of the request, finding the
// member, and naming one in an answer. And what a change of the member list costs a thread.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "proxy/sticky.h"

namespace portunus::proxy {
namespace {

constexpr std::uint64_t kNowS = 1'800'000'000;

MemberList sticky_list(std::size_t count) {
  MemberList list;
  for (std::size_t i = 0; i < count; ++i) {
    list.entries.push_back({std::make_shared<health::Member>(
                                "pool", "10.0.0." + std::to_string(i) + ":8080", net::Address()),
                            1, false});
  }
  return list;
}

Sticky sticky_of(const MemberList& list) {
  Sticky sticky({}, "0123456789abcdef0123456789abcdef", "pool");
  sticky.set_members(list);
  return sticky;
}

// Argument: the number of members.
void sticky_hit(benchmark::State& state) {
  Sticky sticky = sticky_of(sticky_list(static_cast<std::size_t>(state.range(0))));
  base::ChunkPool chunks;
  base::Arena arena(chunks);
  http::HeaderBlock answer;
  sticky.add(sticky.id_at(0), false, kNowS, arena, answer);
  const std::string_view field = answer.value_of(http::HeaderId::set_cookie);
  const std::string cookie = "theme=dark; " + std::string(field.substr(0, field.find(';')));
  for (auto _ : state) {
    arena.reset();
    http::HeaderBlock request;
    request.add(http::HeaderId::cookie, cookie);
    const Sticky::Named named = sticky.read(request, kNowS);
    sticky.strip(request, arena);
    if (sticky.find(named.id) == Sticky::kNobody) state.SkipWithError("nobody");
  }
}
BENCHMARK(sticky_hit)->Arg(3)->Arg(100)->Arg(10000);

void sticky_forged(benchmark::State& state) {
  Sticky sticky = sticky_of(sticky_list(3));
  http::HeaderBlock request;
  const std::string cookie = "portunus=" + std::string(Sticky::kText, 'A');
  request.add(http::HeaderId::cookie, cookie);
  for (auto _ : state)
    benchmark::DoNotOptimize(sticky.read(request, kNowS));
}
BENCHMARK(sticky_forged);

void sticky_named(benchmark::State& state) {
  Sticky sticky = sticky_of(sticky_list(3));
  base::ChunkPool chunks;
  base::Arena arena(chunks);
  for (auto _ : state) {
    arena.reset();
    http::HeaderBlock answer;
    sticky.add(sticky.id_at(0), true, kNowS, arena, answer);
    benchmark::DoNotOptimize(answer.size());
  }
}
BENCHMARK(sticky_named);

void sticky_set_members(benchmark::State& state) {
  const MemberList list = sticky_list(static_cast<std::size_t>(state.range(0)));
  Sticky sticky = sticky_of(list);
  for (auto _ : state)
    sticky.set_members(list);
}
BENCHMARK(sticky_set_members)->Arg(32)->Arg(10000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace portunus::proxy
