#include "proxy/metrics.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "metrics_parser.h"
#include "proxy/metrics_store.h"
#include "tests/support/allocations.h"

namespace portunus::proxy {
namespace {

using base::EndReason;
using testing_support::MetricsParser;

constexpr std::uint64_t kMs = 1'000'000;

// One listener, one route, one pool with one member.
struct World {
  World()
      : shard(metrics.add_shard()),
        member(std::make_shared<health::Member>(
            "api", "10.0.0.7:80", *net::Address::parse_ip("10.0.0.7", 80))) {
    MetricsRegistry& registry = metrics.registry();
    listener = registry.listener_id("web");
    pool = registry.pool_id("api");
    route.name = "shop/cart";
    route.metrics_id = registry.route_id("shop/cart");
    member->metrics_id = registry.member_id("api", "10.0.0.7:80");
    member->state.store(health::MemberState::up);
    inputs.pools.push_back(
        {"api", true, 17, ConcurrencyView{12, 5, 30'000'000, 20'000'000, true}, {}});
    inputs.pools[0].members.push_back({member, 1.5, {}});
    record.listener = listener;
    record.route = &route;
    record.pool = "api";
    record.pool_id = pool;
    record.member = member.get();
    record.request = &head;
    record.status = 200;
    record.bytes_in = 10;
    record.bytes_out = 100;
    record.started_ns = 1000 * kMs;
    record.first_byte_ns = 1003 * kMs;
    record.ended_ns = 1030 * kMs;
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  MetricsParser scrape() const { return MetricsParser(metrics.render(inputs)); }

  Metrics metrics;
  MetricsShard& shard;
  std::shared_ptr<health::Member> member;
  std::uint32_t listener = 0;
  std::uint32_t pool = 0;
  Route route;
  http::Head head;
  ExchangeRecord record;
  MetricsInputs inputs;
};

TEST(Metrics, CountsAFinishedExchange) {
  World world;
  world.shard.record(world.record);
  world.shard.record(world.record);
  const MetricsParser text = world.scrape();
  EXPECT_EQ(text.value(R"(portunus_http_requests_total{listener="web",route="shop/cart",)"
                       R"(pool="api",method="GET",code="200",protocol="HTTP/1.1"})"),
            2);
  const std::string labels = R"({listener="web",route="shop/cart"})";
  EXPECT_EQ(text.value("portunus_http_request_body_bytes_total" + labels), 20);
  EXPECT_EQ(text.value("portunus_http_response_body_bytes_total" + labels), 200);
  const std::string duration = "portunus_http_request_duration_seconds";
  const std::string class_labels = R"({listener="web",route="shop/cart",code_class="2xx")";
  EXPECT_EQ(text.value(duration + "_bucket" + class_labels + R"(,le="0.025"})"), 0);
  EXPECT_EQ(text.value(duration + "_bucket" + class_labels + R"(,le="0.05"})"), 2);
  EXPECT_EQ(text.value(duration + "_count" + class_labels + "}"), 2);
  EXPECT_DOUBLE_EQ(text.value(duration + "_sum" + class_labels + "}"), 0.06);
  EXPECT_EQ(text.value("portunus_http_response_first_byte_seconds_bucket" +
                       labels.substr(0, labels.size() - 1) + R"(,le="0.005"})"),
            2);
  EXPECT_FALSE(text.mentions("portunus_http_requests_rejected_total"));
}

TEST(Metrics, NothingGrowsWithWhatAClientChooses) {
  World world;
  world.head.method = http::Method::other;
  for (int i = 0; i < 100; ++i) {
    const std::string method = "M" + std::to_string(i);
    world.head.method_text = method;
    world.record.status = static_cast<std::uint16_t>(600 + i);
    world.shard.record(world.record);
  }
  EXPECT_EQ(world.shard.store().requests.size(), 1U);
  EXPECT_EQ(world.scrape().value(R"(portunus_http_requests_total{listener="web",route="shop/cart",)"
                                 R"(pool="api",method="_OTHER",code="0",protocol="HTTP/1.1"})"),
            100);
}

TEST(Metrics, CountsRejectionsByReason) {
  World world;
  ExchangeRecord record;
  record.listener = world.listener;
  record.status = 400;
  record.end_reason = EndReason::rejected_header;
  world.shard.record(record);
  record.end_reason = EndReason::client_closed;
  record.status = 0;
  world.shard.record(record);
  const MetricsParser text = world.scrape();
  EXPECT_EQ(text.value(R"(portunus_http_requests_rejected_total{listener="web",)"
                       R"(reason="rejected_header",mode="enforce"})"),
            1);
  EXPECT_EQ(text.sum("portunus_http_requests_rejected_total"), 1);
  EXPECT_EQ(text.value(R"(portunus_http_requests_total{listener="web",route="",pool="",)"
                       R"(method="_OTHER",code="400",protocol=""})"),
            1);
  EXPECT_EQ(text.value(R"(portunus_http_request_duration_seconds_count{listener="web",route="",)"
                       R"(code_class="none"})"),
            1);
}

TEST(Metrics, FollowsConnectionsExchangesAndTunnels) {
  World world;
  MetricsShard& other = world.metrics.add_shard();
  world.shard.connection_opened(world.listener);
  other.connection_opened(world.listener);
  other.connection_opened(world.listener);
  other.connection_closed(world.listener);
  other.connection_rejected(world.listener, ConnectionRejection::limit);
  world.shard.exchange_started(world.listener);
  world.shard.exchange_started(world.listener);
  world.shard.exchange_ended(world.listener);
  world.shard.upgraded_started(world.pool, UpgradeKind::websocket);
  world.shard.queue_entered(world.pool);
  world.shard.queue_entered(world.pool);
  world.shard.queue_left(world.pool);
  const MetricsParser text = world.scrape();
  EXPECT_EQ(text.value(R"(portunus_connections_active{listener="web",transport="tcp"})"), 2);
  EXPECT_EQ(text.value(R"(portunus_connections_total{listener="web",transport="tcp"})"), 3);
  EXPECT_EQ(text.value(R"(portunus_connections_rejected_total{listener="web",transport="tcp",)"
                       R"(reason="limit"})"),
            1);
  EXPECT_EQ(text.value(R"(portunus_http_requests_in_flight{listener="web"})"), 1);
  EXPECT_EQ(text.value(R"(portunus_upgraded_connections_active{pool="api",kind="websocket"})"), 1);
  EXPECT_EQ(text.value(R"(portunus_upgraded_connections_active{pool="api",kind="other"})"), 0);
  EXPECT_EQ(text.value(R"(portunus_pool_queue_length{pool="api"})"), 1);
}

TEST(Metrics, CountsHandshakesByWhatBecameOfThem) {
  World world;
  MetricsShard& other = world.metrics.add_shard();
  const std::uint32_t site = world.metrics.registry().site_id("a.example");
  world.shard.handshake_ended(world.listener,
                              {.site_id = site, .version = "TLSv1.3", .duration_ns = 2'000'000});
  other.handshake_ended(world.listener, {.version = "TLSv1.3", .duration_ns = 2'000'000});
  other.handshake_ended(
      world.listener,
      {.site_id = site, .version = "TLSv1.2", .is_resumed = true, .duration_ns = 1'000'000});
  other.handshake_ended(world.listener,
                        {.result = handshake_of("http request"), .version = {}, .duration_ns = 1});
  other.handshake_ended(
      world.listener,
      {.site_id = site, .result = Handshake::client_certificate, .version = {}, .duration_ns = 1});
  const MetricsParser text = world.scrape();
  const std::string name = R"(portunus_tls_handshakes_total{listener="web",)";
  EXPECT_EQ(text.value(name + R"(version="1.3",resumed="false",result="ok"})"), 2);
  EXPECT_EQ(text.value(name + R"(version="1.2",resumed="true",result="ok"})"), 1);
  EXPECT_EQ(text.value(name + R"(version="none",resumed="false",result="plain_http"})"), 1);
  EXPECT_EQ(text.value(R"(portunus_tls_handshake_duration_seconds_count{listener="web",)"
                       R"(version="1.3",resumed="false",result="ok"})"),
            2);
  const std::string of_site = R"(portunus_tls_site_handshakes_total{site=)";
  EXPECT_EQ(text.value(of_site + R"("a.example",resumed="false",result="ok"})"), 1);
  EXPECT_EQ(text.value(of_site + R"("a.example",resumed="true",result="ok"})"), 1);
  EXPECT_EQ(text.value(of_site + R"("a.example",resumed="false",result="client_certificate"})"), 1);
  EXPECT_EQ(text.value(of_site + R"("_OTHER",resumed="false",result="ok"})"), 1);
  EXPECT_EQ(text.value(of_site + R"("_OTHER",resumed="false",result="plain_http"})"), 1);
  EXPECT_EQ(text.sum("portunus_tls_site_handshakes_total"),
            text.sum("portunus_tls_handshakes_total"));
  EXPECT_EQ(handshake_of(""), Handshake::ok);
  EXPECT_EQ(handshake_of("tlsv1 alert unknown ca"), Handshake::certificate);
  EXPECT_EQ(handshake_of("something new"), Handshake::other);
}

TEST(Metrics, CountsAttemptsErrorsAndRetries) {
  World world;
  AttemptRecord attempt;
  attempt.member = world.member.get();
  attempt.pool_id = world.pool;
  attempt.status = 503;
  attempt.connect_ns = 2 * kMs;
  attempt.first_byte_ns = 80 * kMs;
  attempt.body_ns = 1 * kMs;
  attempt.total_ns = 81 * kMs;
  world.shard.attempt_done(attempt);
  attempt.status = 0;
  world.shard.attempt_done(attempt);
  world.shard.upstream_error(*world.member, EndReason::upstream_reset);
  world.shard.retry(world.pool, EndReason::upstream_reset, RetryResult::success);
  world.shard.retry(world.pool, EndReason::upstream_reset, RetryResult::failure);
  world.shard.retry(world.pool, EndReason::upstream_reset, RetryResult::failure);
  world.inputs.overload.memory = 12'345;
  world.inputs.overload.levels = {2, 0, 1};
  world.inputs.overload.shed[0][1] = 5;
  world.inputs.overload.shed[2][0] = 6;
  const MetricsParser text = world.scrape();
  EXPECT_EQ(text.value("portunus_overload_memory_bytes"), 12'345);
  EXPECT_EQ(text.value(R"(portunus_overload_level{reason="memory"})"), 2);
  EXPECT_EQ(text.value(R"(portunus_overload_level{reason="descriptors"})"), 1);
  const std::string shed = "portunus_overload_requests_shed_total";
  EXPECT_EQ(text.value(shed + R"({reason="memory",priority="normal"})"), 5);
  EXPECT_EQ(text.value(shed + R"({reason="descriptors",priority="low"})"), 6);
  EXPECT_EQ(text.sum(shed), 11);
  const std::string member = R"({pool="api",upstream="10.0.0.7:80")";
  EXPECT_EQ(text.value("portunus_upstream_requests_total" + member + R"(,code="503"})"), 1);
  EXPECT_EQ(text.value("portunus_upstream_requests_total" + member + R"(,code="0"})"), 1);
  EXPECT_EQ(text.value("portunus_upstream_request_duration_seconds_count" + member + "}"), 2);
  EXPECT_EQ(text.value("portunus_upstream_errors_total" + member + R"(,reason="upstream_reset"})"),
            1);
  const std::string phase = "portunus_upstream_phase_duration_seconds_count{pool=\"api\",phase=\"";
  EXPECT_EQ(text.value(phase + "connect\"}"), 2);
  EXPECT_EQ(text.value(phase + "first_byte\"}"), 2);
  EXPECT_EQ(text.value(phase + "body\"}"), 2);
  EXPECT_FALSE(text.has(phase + "queue\"}"));
  const std::string retries =
      R"(portunus_retries_total{pool="api",reason="upstream_reset",result=")";
  EXPECT_EQ(text.value(retries + "success\"}"), 1);
  EXPECT_EQ(text.value(retries + "failure\"}"), 2);
}

TEST(Metrics, ShowsMembersProbesConfigurationAndProcess) {
  World world;
  world.member->in_flight.store(2);
  world.member->connections.store(5);
  base::LatencyHistogram probes;
  probes.observe(3 * kMs);
  ProbeCounts& counts = world.inputs.pools[0].members[0].probes;
  counts.check = "http";
  counts.passed = 7;
  counts.failed = 1;
  counts.duration = &probes;
  counts.transitions.push_back({health::MemberState::up, "probe", 2});
  world.inputs.reloads_failed = 3;
  world.inputs.generation = 9;
  world.inputs.config_hash = "abc\"\\\n\xff";
  world.inputs.access_log_dropped = 11;
  const MetricsParser text = world.scrape();
  const std::string member = R"({pool="api",upstream="10.0.0.7:80")";
  EXPECT_EQ(text.value("portunus_upstream_healthy" + member + "}"), 1);
  EXPECT_EQ(text.value("portunus_upstream_effective_weight" + member + "}"), 1.5);
  EXPECT_EQ(text.value("portunus_upstream_requests_in_flight" + member + "}"), 2);
  EXPECT_EQ(text.value("portunus_upstream_connections" + member + R"(,state="active"})"), 2);
  EXPECT_EQ(text.value("portunus_upstream_connections" + member + R"(,state="idle"})"), 3);
  EXPECT_EQ(text.value("portunus_upstream_state" + member + R"(,state="up"})"), 1);
  EXPECT_EQ(text.sum("portunus_upstream_state"), 1);
  EXPECT_EQ(text.value(R"(portunus_pool_members{pool="api",state="up"})"), 1);
  EXPECT_EQ(text.value(R"(portunus_pool_panic{pool="api"})"), 1);
  EXPECT_EQ(text.value(R"(portunus_pool_hash_passed_over_total{pool="api"})"), 17);
  EXPECT_EQ(text.value(R"(portunus_pool_concurrency_limit{pool="api"})"), 12);
  EXPECT_EQ(text.value(R"(portunus_pool_concurrency_in_flight{pool="api"})"), 5);
  EXPECT_EQ(text.value(R"(portunus_pool_latency_alone_seconds{pool="api"})"), 0.02);
  EXPECT_EQ(
      text.value("portunus_health_checks_total" + member + R"(,check="http",result="success"})"),
      7);
  EXPECT_EQ(
      text.value("portunus_health_check_duration_seconds_count" + member + R"(,check="http"})"), 1);
  EXPECT_EQ(
      text.value("portunus_health_transitions_total" + member + R"(,to="up",reason="probe"})"), 2);
  EXPECT_EQ(text.value(R"(portunus_config_reloads_total{result="failure"})"), 3);
  EXPECT_EQ(text.value("portunus_config_generation"), 9);
  EXPECT_TRUE(text.has("portunus_config_info{hash=\"abc\\\"\\\\\\n\xef\xbf\xbd\"}"));
  EXPECT_EQ(text.value("portunus_access_log_dropped_total"), 11);
  EXPECT_GT(text.value("process_resident_memory_bytes"), 100'000);
  EXPECT_GT(text.value("process_open_fds"), 2);
  EXPECT_GT(text.value("process_start_time_seconds"), 1.6e9);
}

TEST(Metrics, AllocatesNothingOnceASeriesExists) {
  World world;
  AttemptRecord attempt;
  attempt.member = world.member.get();
  attempt.pool_id = world.pool;
  attempt.status = 200;
  const auto once = [&] {
    world.shard.connection_opened(world.listener);
    world.shard.exchange_started(world.listener);
    world.shard.attempt_done(attempt);
    world.shard.record(world.record);
    world.shard.exchange_ended(world.listener);
    world.shard.connection_closed(world.listener);
  };
  once();
  const std::size_t before = test::allocation_count();
  for (int i = 0; i < 100; ++i)
    once();
  EXPECT_EQ(test::allocation_count(), before);
}

TEST(MetricsRegistry, KeepsIdsOverGenerationsAndNeverReusesThem) {
  MetricsRegistry registry;
  registry.begin_generation();
  const std::uint32_t a = registry.route_id("a");
  const std::uint32_t b = registry.route_id("b");
  registry.end_generation(1000);
  EXPECT_NE(a, 0U);
  EXPECT_NE(a, b);
  EXPECT_NE(registry.member_id("p", "m"), registry.member_id("q", "m"));

  registry.begin_generation();
  EXPECT_EQ(registry.route_id("a"), a);
  registry.end_generation(2000);
  EXPECT_FALSE(registry.forget_old(2000 + MetricsRegistry::kKeepMs - 1));
  EXPECT_NE(registry.route(b), nullptr);

  // Back within the hour: the same id, and no longer about to be forgotten.
  registry.begin_generation();
  EXPECT_EQ(registry.route_id("b"), b);
  registry.end_generation(3000);
  registry.forget_old(10 * MetricsRegistry::kKeepMs);
  ASSERT_NE(registry.route(b), nullptr);

  registry.begin_generation();
  registry.end_generation(20 * MetricsRegistry::kKeepMs);
  EXPECT_TRUE(registry.forget_old(21 * MetricsRegistry::kKeepMs));
  EXPECT_EQ(registry.route(a), nullptr);
  EXPECT_GT(registry.route_id("a"), b);
}

TEST(MetricsRegistry, AFailedBuildForgetsNothing) {
  MetricsRegistry registry;
  registry.begin_generation();
  const std::uint32_t a = registry.route_id("a");
  registry.end_generation(0);
  registry.begin_generation();
  const std::uint32_t b = registry.route_id("b");
  registry.abandon_generation();
  EXPECT_FALSE(registry.forget_old(5 * MetricsRegistry::kKeepMs));
  EXPECT_NE(registry.route(a), nullptr);
  registry.begin_generation();
  registry.route_id("a");
  registry.end_generation(6 * MetricsRegistry::kKeepMs);
  EXPECT_TRUE(registry.forget_old(7 * MetricsRegistry::kKeepMs));
  EXPECT_NE(registry.route(a), nullptr);
  EXPECT_EQ(registry.route(b), nullptr);
}

TEST(MetricsRegistry, GivesListenerNamesById) {
  MetricsRegistry registry;
  const std::uint32_t web = registry.listener_id("web");
  const std::uint32_t other = registry.listener_id("other");
  const std::vector<std::string> names = registry.listener_names();
  EXPECT_EQ(names.at(web), "web");
  EXPECT_EQ(names.at(other), "other");
  EXPECT_EQ(names.at(0), "");
}

TEST(Metrics, ForgetsSeriesOfNamesThatLeftAndKeepsTheRest) {
  World world;
  MetricsRegistry& registry = world.metrics.registry();
  Route gone;
  gone.name = "old";
  gone.metrics_id = registry.route_id("old");
  ExchangeRecord old_record = world.record;
  old_record.route = &gone;
  world.shard.record(world.record);
  world.shard.record(old_record);
  world.shard.connection_opened(world.listener);
  EXPECT_TRUE(world.scrape().mentions("route=\"old\""));

  registry.begin_generation();
  registry.listener_id("web");
  registry.route_id("shop/cart");
  registry.pool_id("api");
  registry.member_id("api", "10.0.0.7:80");
  registry.end_generation(0);
  EXPECT_TRUE(world.scrape().mentions("route=\"old\""));  // within the hour
  ASSERT_TRUE(registry.forget_old(MetricsRegistry::kKeepMs));
  const RetiredMetrics retired = world.shard.compact(registry.live());
  EXPECT_EQ(retired->requests.size(), 2U);
  EXPECT_EQ(world.shard.store().requests.size(), 1U);
  EXPECT_EQ(world.shard.store().routes.size(), 1U);
  world.shard.record(world.record);
  world.shard.connection_closed(world.listener);
  const MetricsParser text = world.scrape();
  EXPECT_FALSE(text.mentions("route=\"old\""));
  EXPECT_EQ(text.sum("portunus_http_requests_total"), 2);
  EXPECT_EQ(text.sum("portunus_http_request_duration_seconds_count"), 2);
  EXPECT_EQ(text.value(R"(portunus_connections_active{listener="web",transport="tcp"})"), 0);
}

TEST(Metrics, HandshakesAndHttp2OutliveWhatIsForgottenBesideThem) {
  World world;
  MetricsRegistry& registry = world.metrics.registry();
  for (const char* name : {"a.example", "old.example"}) {
    world.shard.handshake_ended(world.listener, {.site_id = registry.site_id(name), .version = {}});
    world.shard.handshake_ended(
        world.listener,
        {.site_id = registry.site_id(name), .result = Handshake::certificate, .version = {}});
  }
  world.shard.handshake_ended(world.listener, {.result = Handshake::closed, .version = {}});
  http::H2Counts counts;
  counts.streams = 7;
  world.shard.h2_counted(world.listener, counts);
  registry.begin_generation();
  registry.listener_id("web");
  registry.site_id("a.example");
  registry.end_generation(0);
  ASSERT_TRUE(registry.forget_old(MetricsRegistry::kKeepMs));
  const RetiredMetrics retired = world.shard.compact(registry.live());
  const MetricsParser text = world.scrape();
  EXPECT_FALSE(text.mentions("old.example"));
  const std::string of_site = R"(portunus_tls_site_handshakes_total{site=)";
  EXPECT_EQ(text.value(of_site + R"("a.example",resumed="false",result="ok"})"), 1);
  EXPECT_EQ(text.value(of_site + R"("a.example",resumed="false",result="certificate"})"), 1);
  EXPECT_EQ(text.value(of_site + R"("_OTHER",resumed="false",result="closed"})"), 1);
  EXPECT_EQ(text.sum("portunus_tls_handshakes_total"), 5);
  EXPECT_EQ(text.sum("portunus_http2_streams_total"), 7);
}

// Prometheus' own judge, where it is installed (Debian: prometheus).
TEST(Metrics, PassesPromtool) {
  if (std::system("command -v promtool > /dev/null") != 0) GTEST_SKIP() << "no promtool here";
  World world;
  AttemptRecord attempt;
  attempt.member = world.member.get();
  attempt.pool_id = world.pool;
  attempt.status = 200;
  attempt.queue_ns = attempt.connect_ns = attempt.first_byte_ns = attempt.body_ns = kMs;
  world.shard.attempt_done(attempt);
  world.shard.upstream_error(*world.member, EndReason::upstream_reset);
  world.shard.retry(world.pool, EndReason::upstream_reset, RetryResult::success);
  world.shard.connection_opened(world.listener);
  world.shard.connection_rejected(world.listener, ConnectionRejection::limit);
  world.shard.upgraded_started(world.pool, UpgradeKind::other);
  world.shard.queue_entered(world.pool);
  world.shard.record(world.record);
  world.record.end_reason = EndReason::rejected_chunk;
  world.shard.record(world.record);
  base::LatencyHistogram probes;
  ProbeCounts& counts = world.inputs.pools[0].members[0].probes;
  counts.duration = &probes;
  counts.transitions.push_back({health::MemberState::up, "probe", 2});
  FILE* const promtool = popen("promtool check metrics", "w");
  ASSERT_NE(promtool, nullptr);
  const std::string text = world.metrics.render(world.inputs);
  EXPECT_EQ(std::fwrite(text.data(), 1, text.size(), promtool), text.size());
  EXPECT_EQ(pclose(promtool), 0);
}

// For the thread sanitizer above all: writers that add series while a reader walks them.
TEST(Metrics, MayBeReadWhileThreadsWrite) {
  World world;
  MetricsShard& second = world.metrics.add_shard();
  constexpr std::size_t kRoutes = 200;
  constexpr std::size_t kRounds = 20;
  std::vector<std::unique_ptr<Route>> routes;
  for (std::size_t i = 0; i < kRoutes; ++i) {
    routes.push_back(std::make_unique<Route>());
    routes.back()->metrics_id = world.metrics.registry().route_id("r" + std::to_string(i));
  }
  std::atomic<int> running{2};
  std::vector<std::thread> threads;
  for (MetricsShard* shard : {&world.shard, &second}) {
    threads.emplace_back([&, shard] {
      ExchangeRecord record = world.record;
      for (std::size_t round = 0; round < kRounds; ++round) {
        for (const auto& route : routes) {
          record.route = route.get();
          shard->exchange_started(world.listener);
          shard->record(record);
          shard->exchange_ended(world.listener);
        }
      }
      running.fetch_sub(1);
    });
  }
  double last = 0;
  do {
    const double sum = world.scrape().sum("portunus_http_requests_total");
    EXPECT_GE(sum, last);
    last = sum;
  } while (running.load() != 0);
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(world.scrape().sum("portunus_http_requests_total"), 2 * kRoutes * kRounds);
}

}  // namespace
}  // namespace portunus::proxy
