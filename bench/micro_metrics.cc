// What counting one exchange costs the data-plane thread, with one route and with many, and what a
// scrape costs the control thread.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "proxy/metrics.h"

namespace portunus::proxy {
namespace {

struct World {
  explicit World(std::size_t route_count)
      : shard(metrics.add_shard()),
        member("api", "10.0.0.7:80", *net::Address::parse_ip("10.0.0.7", 80)) {
    record.listener = metrics.registry().listener_id("web");
    record.pool_id = metrics.registry().pool_id("api");
    member.metrics_id = metrics.registry().member_id("api", "10.0.0.7:80");
    routes = std::vector<Route>(route_count);
    for (std::size_t i = 0; i < route_count; ++i) {
      routes[i].metrics_id = metrics.registry().route_id("site" + std::to_string(i) + "/route");
    }
    record.request = &head;
    record.status = 200;
    record.bytes_out = 1024;
    record.started_ns = 1'000'000;
    record.first_byte_ns = 1'300'000;
    record.ended_ns = 1'310'000;
  }

  Metrics metrics;
  MetricsShard& shard;
  health::Member member;
  std::vector<Route> routes;
  http::Head head;
  ExchangeRecord record;
};

void record(benchmark::State& state) {
  World world(static_cast<std::size_t>(state.range(0)));
  std::size_t next = 0;
  for (auto _ : state) {
    world.record.route = &world.routes[next];
    next = (next + 7919) % world.routes.size();
    world.shard.record(world.record);
  }
}
BENCHMARK(record)->Name("metrics/record")->Arg(1)->Arg(100)->Arg(100'000);

// All calls that one keep-alive request makes.
void whole_request(benchmark::State& state) {
  World world(1);
  world.record.route = world.routes.data();
  AttemptRecord attempt;
  attempt.member = &world.member;
  attempt.pool_id = world.record.pool_id;
  attempt.status = 200;
  attempt.first_byte_ns = 280'000;
  attempt.body_ns = 10'000;
  attempt.total_ns = 290'000;
  for (auto _ : state) {
    world.shard.exchange_started(world.record.listener);
    world.shard.attempt_done(attempt);
    world.shard.record(world.record);
    world.shard.exchange_ended(world.record.listener);
  }
}
BENCHMARK(whole_request)->Name("metrics/whole_request");

void render(benchmark::State& state) {
  World world(static_cast<std::size_t>(state.range(0)));
  for (const Route& route : world.routes) {
    world.record.route = &route;
    world.shard.record(world.record);
  }
  std::size_t bytes = 0;
  for (auto _ : state) {
    const std::string text = world.metrics.render({});
    bytes = text.size();
    benchmark::DoNotOptimize(text.data());
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(render)->Name("metrics/render")->Arg(10)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace portunus::proxy
