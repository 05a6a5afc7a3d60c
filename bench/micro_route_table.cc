// Route look-up among few and many sites. Host and path are written into one buffer for every
// request, in all cases alike, so that what differs is the table and not the cost of fetching the
// question from memory. "hot" asks for 16 sites over and over, "random" for any site at random.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "proxy/balancer.h"
#include "proxy/route_table.h"

namespace portunus::proxy {
namespace {

// Every site has paths of its own if `is_varied`, else all have the same ones.
conf::Model make_model(std::size_t sites, std::size_t routes, bool is_varied) {
  conf::Model model;
  model.listeners.push_back({.name = "http", .address = {}, .declared_at = {}});
  for (std::size_t s = 0; s < sites; ++s) {
    conf::Site site;
    char name[64];
    std::snprintf(name, sizeof(name), "site%05zu.example.com", s);
    site.name = name;
    site.hosts = {name};
    site.listeners = {0};
    for (std::size_t r = 0; r < routes; ++r) {
      conf::Route route;
      route.name = site.name + "/" + std::to_string(r);
      char path[64];
      std::snprintf(path, sizeof(path), "/area%05zu/part%05zu", is_varied ? s : 0, r);
      route.match.paths.push_back({path, true});
      route.action = conf::Forward{.shares = {{0, 1}}, .strip_prefix = {}, .rewrite = {}};
      site.routes.push_back(std::move(route));
    }
    model.sites.push_back(std::move(site));
  }
  return model;
}

void write_number(char* at, std::uint32_t number) {
  for (int i = 4; i >= 0; --i, number /= 10)
    at[i] = static_cast<char>('0' + number % 10);
}

// Arguments: sites, routes of each, sites asked for, whether the paths differ among sites.
void find(benchmark::State& state) {
  const auto sites = static_cast<std::size_t>(state.range(0));
  const auto routes = static_cast<std::uint32_t>(state.range(1));
  const auto asked = static_cast<std::uint32_t>(state.range(2));
  const bool is_varied = state.range(3) != 0;
  const conf::Model model = make_model(sites, routes, is_varied);
  const RouteTable table = RouteTable::build(model, base::KeyedHash(1, 2));
  const auto request = std::make_unique<http::Head>();
  std::string host = "site00000.example.com";
  std::string path = "/area00000/part00000/item/42";
  request->host = host;
  request->path = path;
  Random random(7);
  for (auto _ : state) {
    const std::uint32_t site = random.below(asked);
    write_number(host.data() + 4, site);
    if (is_varied) write_number(path.data() + 5, site);
    write_number(path.data() + 15, random.below(routes));
    const RouteMatch match = table.find(0, *request);
    if (match.route == nullptr) state.SkipWithError("no route");
    benchmark::DoNotOptimize(match);
  }
  state.counters["table_KiB"] = static_cast<double>(table.memory_bytes()) / 1024;
}
BENCHMARK(find)
    ->ArgNames({"sites", "routes", "asked", "varied"})
    ->Args({10, 10, 10, 1})
    ->Args({10000, 10, 10, 1})
    ->Args({10000, 10, 10000, 1})
    ->Args({10000, 10, 10000, 0})
    ->Args({1, 10, 1, 1})
    ->Args({1, 10000, 1, 1});

// What the random numbers and the writing of the question cost by themselves.
void ask_only(benchmark::State& state) {
  std::string host = "site00000.example.com";
  std::string path = "/area00000/part00000/item/42";
  Random random(7);
  for (auto _ : state) {
    const std::uint32_t site = random.below(10000);
    write_number(host.data() + 4, site);
    write_number(path.data() + 5, site);
    write_number(path.data() + 15, random.below(10));
    benchmark::DoNotOptimize(host.data());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(ask_only);

void build(benchmark::State& state) {
  const conf::Model model = make_model(10000, 10, true);
  for (auto _ : state) {
    const RouteTable table = RouteTable::build(model);
    benchmark::DoNotOptimize(table.routes().size());
  }
}
BENCHMARK(build)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace portunus::proxy
