// What one line of the access log costs the data-plane thread.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>

#include "base/clock.h"
#include "proxy/access_log.h"

namespace portunus::proxy {
namespace {

struct Sample {
  Sample() : member("api", "10.0.0.7:8080", *net::Address::parse_ip("10.0.0.7", 8080)) {
    head.method_text = "GET";
    head.authority = "shop.example";
    head.host = head.authority;
    head.path = "/cart/items/1234567";
    head.query = "page=2&sort=price";
    head.has_query = true;
    head.fields.add(http::HeaderId::host, "shop.example");
    head.fields.add(http::HeaderId::accept, "*/*");
    head.fields.add(http::HeaderId::accept_encoding, "gzip, deflate, br");
    head.fields.add(http::HeaderId::user_agent,
                    "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0");
    head.fields.add(http::HeaderId::referer, "http://shop.example/cart");
    route.name = "shop/cart";
    names.listeners = {"", "web"};
    record.listener = 1;
    record.route = &route;
    record.pool = "api";
    record.member = &member;
    record.request = &head;
    record.request_id = "0af7651916cd43dd8448eb211c80319c";
    record.peer = *net::Address::parse_ip("192.0.2.4", 50123);
    record.client_ip = "192.0.2.4";
    record.status = 200;
    record.upstream_status = 200;
    record.attempts = 1;
    record.bytes_out = 1024;
    record.started_ns = base::monotonic_ns();
    record.sent_ns = record.started_ns + 20'000;
    record.upstream_head_ns = record.started_ns + 300'000;
    record.first_byte_ns = record.started_ns + 310'000;
    record.ended_ns = record.started_ns + 320'000;
    record.generation = 3;
  }
  http::Head head;
  Route route;
  health::Member member;
  LogNames names;
  WallText wall;
  ExchangeRecord record;
};

void json_line(benchmark::State& state) {
  Sample sample;
  std::array<char, 8192> out;
  for (auto _ : state) {
    sample.record.ended_ns += 25'000;  // as at 40,000 requests a second: seconds change
    benchmark::DoNotOptimize(
        write_json_line(sample.record, sample.names, sample.wall, out.data(), out.size()));
  }
}
BENCHMARK(json_line)->Name("access_log/json_line");

void combined_line(benchmark::State& state) {
  Sample sample;
  std::array<char, 8192> out;
  for (auto _ : state) {
    sample.record.ended_ns += 25'000;
    benchmark::DoNotOptimize(
        write_combined_line(sample.record, sample.wall, out.data(), out.size()));
  }
}
BENCHMARK(combined_line)->Name("access_log/combined_line");

// With blocks and hand-over, the writer thread at work on another core.
void buffered(benchmark::State& state) {
  Sample sample;
  AccessLog log;
  std::string reason;
  if (!log.configure({conf::AccessLogFormat::json, {conf::OutputKind::file, "/dev/null"}},
                     reason)) {
    state.SkipWithError(reason.c_str());
    return;
  }
  AccessLogBuffer& buffer = log.add_buffer();
  for (auto _ : state)
    buffer.write(sample.record, sample.names);
  state.counters["dropped"] = static_cast<double>(log.dropped());
}
BENCHMARK(buffered)->Name("access_log/buffered");

}  // namespace
}  // namespace portunus::proxy
