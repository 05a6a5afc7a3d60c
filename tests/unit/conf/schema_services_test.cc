// The key `services`: what every form of it means, and one row per error with its place and hint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "conf/load.h"

namespace portunus::conf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kServiceSite = "sites: { \"http://:80\": 127.0.0.1:1 }\n";

std::unique_ptr<const Model> load_services(std::string_view text) {
  LoadResult result = load_text(text, "test.yaml");
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  EXPECT_TRUE(result.diagnostics.empty()) << format_text(result.diagnostics);
  return std::move(result.model);
}

// One service of these keys, without a pool.
Service service(const std::string& keys) {
  const auto model =
      load_services(kServiceSite + ("services:\n  a: { command: [x], " + keys + " }\n"));
  return model && model->services.size() == 1 ? model->services[0] : Service{};
}

TEST(Services, OneKeyIsEnough) {
  const auto model = load_services(std::string(kServiceSite) +
                                   "services: { a-b_c.1: { command: [sleep, \"\", 5] } }\n");
  ASSERT_TRUE(model);
  ASSERT_EQ(model->services.size(), 1U);
  Service expected;
  expected.name = "a-b_c.1";
  expected.command = {"sleep", "", "5"};
  expected.health.kind = ProbeKind::off;
  EXPECT_TRUE(model->services[0] == expected);
  EXPECT_EQ(model->user, "");
  EXPECT_EQ(model->state, "");
}

TEST(Services, AllKeysArriveInTheModel) {
  ::setenv("PORTUNUS_TEST_LEVEL", "debug", 1);
  const auto model = load_services(
      "user: portunus\nstate: /var/lib/portunus\n"
      "sites: { \"http://:80\": { pool: web } }\n"
      "services:\n"
      "  web:\n"
      "    command: [serve, \"--port={port}\", \"{replica}\", \"{a b} {} {Port} {{port}}\"]\n"
      "    replicas: { min: 3, max: 9 }\n"
      "    ports: 9001-9010\n"
      "    pool: web\n"
      "    health: { path: /h, interval: 1s, start_period: 5s, fall: 4 }\n"
      "    restart: { policy: on-failure, backoff: 500ms..2m, max_in_window: \"5 in 1h\" }\n"
      "    stop: { signal: SigInt, grace: 5s }\n"
      "    user: nobody\n"
      "    working_directory: /srv\n"
      "    environment: { LEVEL: \"${PORTUNUS_TEST_LEVEL}\", _n1: 5, EMPTY: \"\", AT: \"{port}\" "
      "}\n"
      "    limits: { memory: 512MiB, cpu: 10000% }\n"
      "    log: { max_size: 1MiB, keep: 0 }\n"
      "pools: { web: {} }\n");
  ASSERT_TRUE(model);
  EXPECT_EQ(model->user, "portunus");
  EXPECT_EQ(model->state, "/var/lib/portunus");
  ASSERT_EQ(model->services.size(), 1U);
  const Service& web = model->services[0];
  EXPECT_THAT(web.command,
              ElementsAre("serve", "--port={port}", "{replica}", "{a b} {} {Port} {{port}}"));
  EXPECT_EQ(web.replicas_min, 3U);
  EXPECT_EQ(web.replicas_max, 9U);
  EXPECT_EQ(web.ports, (PortRange{9001, 9010}));
  EXPECT_EQ(web.pool, 0U);
  EXPECT_EQ(web.health.kind, ProbeKind::http);
  EXPECT_EQ(web.health.path, "/h");
  EXPECT_EQ(web.health.fall, 4U);
  EXPECT_EQ(web.start_period, Milliseconds(5000));
  EXPECT_EQ(web.restart, (Restart{RestartPolicy::on_failure, Milliseconds(500),
                                  Milliseconds(120'000), 5, Milliseconds(3'600'000)}));
  EXPECT_EQ(web.stop, (Stop{SIGINT, Milliseconds(5000)}));
  EXPECT_EQ(web.user, "nobody");
  EXPECT_EQ(web.working_directory, "/srv");
  EXPECT_THAT(web.environment,
              ElementsAre(testing::Pair("LEVEL", "debug"), testing::Pair("_n1", "5"),
                          testing::Pair("EMPTY", ""), testing::Pair("AT", "{port}")));
  EXPECT_EQ(web.limits, (ServiceLimits{std::uint64_t{512} << 20U, 10'000}));
  EXPECT_EQ(web.log, (ServiceLog{std::uint64_t{1} << 20U, 0}));
  // The pool is probed as it says itself, not as its service does.
  EXPECT_TRUE(model->pools[0].is_dynamic);
  EXPECT_TRUE(model->pools[0].upstreams.empty());
  EXPECT_TRUE(model->pools[0].health == Health{});
}

TEST(Services, ShortForms) {
  EXPECT_EQ(service("replicas: 2").replicas_min, 2U);
  EXPECT_EQ(service("replicas: 2").replicas_max, 2U);
  EXPECT_EQ(service("replicas: { min: 0 }").replicas_min, 0U);
  EXPECT_EQ(service("replicas: { min: 0 }").replicas_max, 1U);
  EXPECT_EQ(service("replicas: { min: 4 }").replicas_max, 4U);
  EXPECT_EQ(service("replicas: { max: 4 }").replicas_min, 1U);
  EXPECT_EQ(service("replicas: { max: 1000 }").replicas_max, 1000U);
  EXPECT_EQ(service("replicas: {}").replicas_max, 1U);
  EXPECT_EQ(service("restart: never").restart.policy, RestartPolicy::never);
  EXPECT_EQ(service("restart: always").restart, Restart{});
  EXPECT_EQ(service("restart: { backoff: 3s }").restart.backoff_min, Milliseconds(3000));
  EXPECT_EQ(service("restart: { backoff: 3s }").restart.backoff_max, Milliseconds(3000));
  EXPECT_EQ(service("ports: 7000").ports, (PortRange{7000, 7000}));  // a fixed port: no warning
  EXPECT_EQ(service("health: off").health.kind, ProbeKind::off);
  EXPECT_EQ(service("ports: 7000-7001, health: { fall: 1 }").health.kind, ProbeKind::tcp);
  EXPECT_EQ(service("limits: { cpu: 0 }").limits, ServiceLimits{});
  const auto shell =
      load_services(std::string(kServiceSite) + "services: { a: { command: 'a $1 | b' } }\n");
  ASSERT_TRUE(shell);
  EXPECT_THAT(shell->services[0].command, ElementsAre("/bin/sh", "-c", "a $1 | b"));
}

TEST(Services, SignalsByName) {
  const std::vector<std::pair<const char*, int>> rows{
      {"TERM", SIGTERM}, {"SIGTERM", SIGTERM}, {"int", SIGINT},      {"HUP", SIGHUP},
      {"quit", SIGQUIT}, {"sigusr1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"Kill", SIGKILL}};
  for (const auto& [word, number] : rows) {
    EXPECT_EQ(service("stop: { signal: " + std::string(word) + " }").stop.signal, number) << word;
  }
}

// Wherever the parts stand: the pool's probes are the service's, unless it has its own.
TEST(Services, ProbesAreThoseOfThePool) {
  const auto model = load_services(
      "services:\n"
      "  a: { command: [x, \"{port}\"], ports: 9001-9002, pool: web }\n"
      "  b: { command: [x, \"{port}\"], ports: 9003-9004, pool: web, health: off }\n"
      "  c: { command: [x, \"{port}\"], ports: 9005-9006, pool: quiet }\n"
      "pools:\n"
      "  web: { upstreams: [127.0.0.1:9009, 10.0.0.1:9001], health: { path: /x, rise: 7 } }\n"
      "  quiet: { health: off }\n"
      "sites: { \"http://:80\": { split: { web: 1, quiet: 1 } } }\n");
  ASSERT_TRUE(model);
  EXPECT_TRUE(model->services[0].health == model->pools[0].health);
  EXPECT_EQ(model->services[0].health.rise, 7U);
  EXPECT_EQ(model->services[0].start_period, Milliseconds(30'000));
  EXPECT_EQ(model->services[1].health.kind, ProbeKind::off);
  EXPECT_EQ(model->services[2].health.kind, ProbeKind::off);
  EXPECT_EQ(model->services[1].pool, 0U);
  EXPECT_EQ(model->services[2].pool, 1U);
  EXPECT_TRUE(model->pools[0].is_dynamic);
  EXPECT_TRUE(model->pools[1].is_dynamic);
}

TEST(Services, ScaleArrivesInTheModel) {
  const auto model = load_services(
      "sites: { \"http://:80\": { pool: web } }\npools: { web: {} }\nservices:\n"
      "  web: { command: [x], pool: web, ports: 9001-9010, replicas: { min: 2, max: 9 },\n"
      "         scale: { cpu: 150%, in_flight: 20, queue: 1, up_after: 1m, down_after: 1h, "
      "dry_run: true } }\n");
  ASSERT_TRUE(model);
  const Scale expected{150, 20, 1, Milliseconds(60'000), Milliseconds(3'600'000), true};
  EXPECT_TRUE(model->services[0].scale == expected);
  EXPECT_TRUE(expected.is_on());
  EXPECT_FALSE(Scale{}.is_on());
}

TEST(Services, AreEnoughWithoutASite) {
  const auto model = load_services("services: { a: { command: [x], replicas: 2 } }\n");
  ASSERT_TRUE(model);
  EXPECT_TRUE(model->sites.empty());
  EXPECT_TRUE(model->listeners.empty());
}

TEST(Services, OtherPoolsAreNotDynamic) {
  const auto model = load_services(
      "services: { a: { command: [x], ports: 9001, pool: web } }\n"
      "pools: { web: , api: [b:1] }\nsites: { \"http://:80\": { split: { web: 1, api: 1 } } }\n");
  ASSERT_TRUE(model);
  EXPECT_TRUE(model->pools[0].is_dynamic);
  EXPECT_FALSE(model->pools[1].is_dynamic);
}

struct ServiceRow {
  const char* name;
  const char* text;
  const char* place;    // "line:column" of the only message
  const char* message;  // part of it
  const char* hint = "";
};

std::string name_of_row(const testing::TestParamInfo<ServiceRow>& info) {
  return info.param.name;
}

void expect_one(const ServiceRow& row, Severity severity) {
  const LoadResult result = load_text(row.text, "test.yaml");
  EXPECT_EQ(result.model == nullptr, severity == Severity::error);
  ASSERT_EQ(result.diagnostics.size(), 1U) << format_text(result.diagnostics);
  const Diagnostic& d = result.diagnostics[0];
  EXPECT_EQ(d.severity, severity);
  EXPECT_EQ(std::to_string(d.line) + ':' + std::to_string(d.column), row.place) << format_text(d);
  EXPECT_THAT(d.message, HasSubstr(row.message));
  EXPECT_THAT(d.hint, HasSubstr(row.hint));
}

#define SITE "sites: { \"http://:80\": 127.0.0.1:1 }\n"
#define SERVICE(keys) SITE "services:\n  a: { command: [x], " keys " }\n"
#define COMMAND(value) SITE "services:\n  a: { command: " value " }\n"
#define POOLED(keys)                                                          \
  "sites: { \"http://:80\": { pool: web } }\npools: { web: {} }\nservices:\n" \
  "  a: { command: [x], " keys " }\n"

class ServiceErrors : public testing::TestWithParam<ServiceRow> {};

TEST_P(ServiceErrors, HasPlaceAndReason) {
  expect_one(GetParam(), Severity::error);
}

const ServiceRow kServiceValues[] = {
    {"name", SITE "services: { \"a b\": { command: x } }\n", "2:13",
     "cannot be the name of a service", "at most 64"},
    {"name_long",
     SITE "services: { aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12345: { "
          "command: x } }\n",
     "2:13", "cannot be the name of a service", "at most 64"},
    {"name_of_folder", SITE "services: { ..: { command: x } }\n", "2:13",
     "`..` cannot be the name of a service", "no `.` first"},
    {"list", SITE "services: [x]\n", "2:11", "must be a table of names"},
    {"scalar", SITE "services: { a: x }\n", "2:16", "a service must be a table of keys",
     "`command`"},
    {"unknown_key", SERVICE("replica: 3"), "3:22", "unknown key `replica` in a service",
     "`replicas`"},
    {"later_key", SERVICE("register: {}"), "3:22", "unknown key `register`", "later version"},
    {"no_command", SITE "services: { a: { replicas: 1 } }\n", "2:16", "needs the key `command`"},
    {"command_null", COMMAND(""), "3:8", "`command` has no value", "the program and its words"},
    {"command_empty", COMMAND("\"\""), "3:17", "`command` has no value"},
    {"command_empty_list", COMMAND("[]"), "3:17", "`command` has no value", "as a list"},
    {"command_empty_program", COMMAND("[\"\", a]"), "3:18", "`command` has no value"},
    {"command_null_word", COMMAND("[a, ~]"), "3:21", "`command` has no value"},
    {"command_table", COMMAND("{ a: b }"), "3:17", "takes a single value, not a table"},
    {"command_nested", COMMAND("[a, [b]]"), "3:21", "takes a single value, not a list"},
    {"placeholder", COMMAND("[a, \"-p{prot}\"]"), "3:21", "`{prot}` is unknown here", "{ prot }"},
    {"placeholder_in_shell", COMMAND("\"a {replica} {host}\""), "3:17", "`{host}` is unknown here"},
    {"placeholder_in_variable", SERVICE("environment: { A: \"{user}\" }"), "3:40",
     "`{user}` is unknown here"},
    {"replicas_zero", SERVICE("replicas: 0"), "3:32", "out of range", "from 1 to 1000"},
    {"replicas_many", SERVICE("replicas: 1001"), "3:32", "out of range", "from 1 to 1000"},
    {"replicas_text", SERVICE("replicas: three"), "3:32", "expected a whole number"},
    {"replicas_list", SERVICE("replicas: [1, 2]"), "3:32", "`replicas` must be a table of keys",
     "`min` or `max`"},
    {"replicas_max_zero", SERVICE("replicas: { min: 0, max: 0 }"), "3:47", "out of range",
     "from 1 to 1000"},
    {"replicas_min_many", SERVICE("replicas: { min: 1001 }"), "3:39", "out of range",
     "from 0 to 1000"},
    {"replicas_order", SERVICE("replicas: { min: 5, max: 3 }"), "3:32",
     "`min` is 5, above `max`, which is 3"},
    {"ports_text", SERVICE("ports: some"), "3:29", "expected a range such as 9001-9010"},
    {"ports_zero", SERVICE("ports: 0-5"), "3:29", "expected a range", "from 1 to 65535"},
    {"ports_large", SERVICE("ports: 65000-65536"), "3:29", "expected a range", "from 1 to 65535"},
    {"ports_open", SERVICE("ports: 9001-"), "3:29", "expected a range"},
    {"ports_order", SERVICE("ports: 9010-9001"), "3:29", "the lower port stands first"},
    {"ports_list", SERVICE("ports: [9001]"), "3:29", "takes a single value, not a list"},
    {"health_both", SERVICE("ports: 1-2, health: { path: /, tcp: true }"), "3:58",
     "exclude each other"},
    {"health_start", SERVICE("ports: 1-2, health: { start_period: 5 }"), "3:58", "has no unit", ""},
    {"health_key", SERVICE("ports: 1-2, health: { start: 5s }"), "3:44",
     "unknown key `start` in `health`", ""},
    {"policy", SERVICE("restart: on_failure"), "3:31", "expected `always`", "`on-failure`"},
    {"policy_key", SERVICE("restart: { policy: maybe }"), "3:41",
     "expected `always`, `on-failure` or `never`"},
    {"backoff_unit", SERVICE("restart: { backoff: 5 }"), "3:42", "has no unit: write `5s`",
     "1s..60s"},
    {"backoff_end", SERVICE("restart: { backoff: 1s..x }"), "3:42", "`x`: expected a duration",
     "1s..60s"},
    {"backoff_zero", SERVICE("restart: { backoff: 0..1s }"), "3:42", "out of range",
     "from 10ms to 1d"},
    {"backoff_long", SERVICE("restart: { backoff: 1s..2d }"), "3:42", "out of range",
     "from 10ms to 1d"},
    {"backoff_order", SERVICE("restart: { backoff: 5s..1s }"), "3:42",
     "the shorter duration stands first"},
    {"window_form", SERVICE("restart: { max_in_window: 10 }"), "3:48", "such as 10 in 10m"},
    {"window_count", SERVICE("restart: { max_in_window: x in 10m }"), "3:48", "such as 10 in 10m"},
    {"window_unit", SERVICE("restart: { max_in_window: 10 in 10 }"), "3:48", "has no unit",
     "such as 10 in 10m"},
    {"window_zero", SERVICE("restart: { max_in_window: 0 in 10m }"), "3:48", "out of range",
     "from 1 to 1000000"},
    {"window_short", SERVICE("restart: { max_in_window: 1 in 10ms }"), "3:48", "out of range",
     "1s to 7d"},
    {"signal", SERVICE("stop: { signal: STOP }"), "3:38", "`STOP`: expected `TERM`, `INT`"},
    {"signal_number", SERVICE("stop: { signal: 15 }"), "3:38", "`15`: expected `TERM`, `INT`"},
    {"grace", SERVICE("stop: { grace: 30 }"), "3:37", "has no unit: write `30s`"},
    {"stop_scalar", SERVICE("stop: INT"), "3:28", "`stop` must be a table of keys",
     "`signal` or `grace`"},
    {"folder", SERVICE("working_directory: srv"), "3:41", "`srv` is not an absolute path",
     "begins with `/`"},
    {"variable_name", SERVICE("environment: { \"1A\": x }"), "3:37",
     "`1A` cannot be the name of a variable", "no digit first"},
    {"variable_name_mark", SERVICE("environment: { \"A=B\": x }"), "3:37",
     "`A=B` cannot be the name of a variable"},
    {"variable_null", SERVICE("environment: { A: ~ }"), "3:37", "`A` has no value"},
    {"variable_list", SERVICE("environment: { A: [x] }"), "3:40",
     "`A` takes a single value, not a list"},
    {"variable_file", SERVICE("environment: { A: \"file:/etc/hostname\" }"), "3:40",
     "works in files only"},
    {"variable_unset", SERVICE("environment: { A: \"${PORTUNUS_TEST_NOT_SET}\" }"), "3:40",
     "is not set"},
    {"memory", SERVICE("limits: { memory: 512 }"), "3:40", "has no unit"},
    {"cpu_unit", SERVICE("limits: { cpu: 50 }"), "3:37", "has no unit: write `50%`"},
    {"cpu_large", SERVICE("limits: { cpu: 10001% }"), "3:37", "from 0% to 10000%"},
    {"log_size", SERVICE("log: { max_size: 1B }"), "3:39", "out of range", "at least 1KiB"},
    {"log_keep", SERVICE("log: { keep: 1001 }"), "3:35", "out of range", "from 0 to 1000"},
    {"state", SITE "state: var\n", "2:8", "`state`: `var` is not an absolute path",
     "begins with `/`"},
    {"user", SITE "user: [root]\n", "2:7", "takes a single value, not a list"},
};
INSTANTIATE_TEST_SUITE_P(Values, ServiceErrors, testing::ValuesIn(kServiceValues), name_of_row);

const ServiceRow kRules[] = {
    {"port_in_command", COMMAND("[a, \"{port}\"]"), "3:21", "`{port}` needs the key `ports`",
     "ports: 9001-9010"},
    {"port_in_shell", COMMAND("\"a {{port}}\""), "3:17", "`{port}` needs the key `ports`"},
    {"port_in_variable", SERVICE("environment: { A: \"{port}\" }"), "3:40",
     "`{port}` needs the key `ports`"},
    {"pool_needs_ports", POOLED("pool: web"), "4:28",
     "a service with a `pool` needs the key `ports`", "ports: 9001-9010"},
    {"health_needs_ports", SERVICE("health: { fall: 1 }"), "3:30",
     "a service with `health` needs the key `ports`", "ports: 9001-9010"},
    {"too_few_ports", SERVICE("replicas: 5, ports: 9001-9004"), "3:42",
     "4 ports for up to 5 replicas", "one more for rolling restarts"},
    {"too_few_ports_max", SERVICE("replicas: { max: 3 }, ports: 9001"), "3:51",
     "1 port for up to 3 replicas"},
    {"unknown_pool",
     POOLED("ports: 1-2, pool: wbe") "  b: { command: [x], ports: 3-4, pool: web }\n", "4:40",
     "there is no pool `wbe`", "did you mean `web`?"},
    {"undeclared_pool", SERVICE("ports: 1-2, pool: workers"), "3:40", "there is no pool `workers`",
     "define it under `pools`"},
    {"pool_empty", SERVICE("ports: 1-2, pool: \"\""), "3:40", "`pool` has no value"},
    {"pool_of_site",
     "sites: { \"http://:80\": 127.0.0.1:1 }\nservices:\n  a: { command: [x], ports: "
     "1-2, pool: \"http://:80\" }\n",
     "3:40", "there is no pool `http://:80`"},
    {"bare_pool", SITE "pools: { web: { health: off } }\nservices: { a: { command: x } }\n", "2:15",
     "a pool needs the key `upstreams`", "or a service with `pool: web`"},
    {"null_pool", SITE "pools:\n  web:\n", "3:3", "a pool needs the key `upstreams`"},
    {"overlap",
     SITE "services:\n  a: { command: x, ports: 9001-9005 }\n  b: { command: x, ports: "
          "9005-9009 }\n",
     "4:27", "the service `a` takes some of these, too", "at test.yaml:3"},
    {"overlap_inside",
     SITE "services:\n  a: { command: x, ports: 9003 }\n  b: { command: x, ports: 9001-9009 }\n",
     "4:27", "the service `a` takes some of these, too", "at test.yaml:3"},
    {"overlap_of_three",
     SITE "services:\n  a: { command: x, ports: 9001-9009 }\n  b: { command: x, ports: 9010 }\n"
          "  c: { command: x, ports: 9012-9020 }\n  d: { command: x, ports: 9008 }\n",
     "6:27", "the service `a` takes some of these, too", "at test.yaml:3"},
    {"listener_port", SITE "services:\n  a: { command: x, ports: 79-81 }\n", "3:27",
     "80 is the port of the listener `http-80`", "at test.yaml:1"},
    {"named_listener_port",
     "listeners: { main: \"10.0.0.1:9003\" }\nsites: { \"*\": { respond: {} } }\n"
     "services:\n  a: { command: x, ports: 9001-9003 }\n",
     "4:27", "9003 is the port of the listener `main`", "at test.yaml:1"},
    {"admin_port", SITE "services:\n  a: { command: x, ports: 9100-9200 }\n", "3:27",
     "9180 is the port of the admin interface", "`admin.listen` is 127.0.0.1:9180"},
    {"admin_port_written",
     SITE "services:\n  a: { command: x, ports: 9001-9005 }\nadmin: { listen: 127.0.0.1:9003 }\n",
     "3:27", "9003 is the port of the admin interface", "at test.yaml:4"},
    {"health_port", SERVICE("replicas: 2, ports: 1-3, health: { port: 8 }"), "3:55",
     "8 is one port for all of up to 2 replicas", "without `port` each is probed at its own"},
    {"health_port_of_pool",
     "sites: { \"http://:80\": { pool: web } }\npools: { web: { health: { port: 8 } } }\n"
     "services:\n  a: { command: [x], pool: web, ports: 9001-9003, replicas: 2 }\n",
     "4:28", "8 is one port for all of up to 2 replicas", "give the service a `health`"},
    {"scale_by_nothing", SERVICE("replicas: { max: 2 }, scale: { up_after: 5s }"), "3:51",
     "`scale` needs something to go by", "cpu: 70%"},
    {"scale_without_pool", SERVICE("replicas: { max: 2 }, scale: { in_flight: 5 }"), "3:51",
     "needs a `pool`"},
    {"scale_queue_without_pool", SERVICE("replicas: { max: 2 }, scale: { queue: 5 }"), "3:51",
     "needs a `pool`"},
    {"scale_from_none", SERVICE("replicas: { min: 0, max: 2 }, scale: { cpu: 70% }"), "3:59",
     "needs at least one replica", "`min` is 0"},
    {"scale_without_range", SERVICE("replicas: 3, scale: { cpu: 70% }"), "3:42",
     "`replicas` allows 3 only", "replicas: { min: 1, max: 4 }"},
    {"scale_too_soon", SERVICE("replicas: { max: 2 }, scale: { cpu: 70%, up_after: 900ms }"),
     "3:73", "`up_after`"},
    {"own_upstream",
     "sites: { \"http://:80\": { pool: web } }\npools: { web: [127.0.0.1:9002] }\n"
     "services:\n  a: { command: [x], pool: web, ports: 9001-9003 }\n",
     "4:40", "the pool `web` has the upstream `127.0.0.1:9002` already", "at test.yaml:2"},
};
INSTANTIATE_TEST_SUITE_P(Rules, ServiceErrors, testing::ValuesIn(kRules), name_of_row);

class ServiceWarnings : public testing::TestWithParam<ServiceRow> {};

TEST_P(ServiceWarnings, HasPlaceAndReason) {
  expect_one(GetParam(), Severity::warning);
}

const ServiceRow kServiceWarnings[] = {
    {"no_spare_port", SERVICE("replicas: 2, ports: 9001-9002"), "3:42",
     "2 ports for up to 2 replicas: a rolling restart has none to spare", "with one more"},
    {"no_spare_port_of_one", SITE "services: { a: { command: \"x {port}\", ports: 9001 } }\n",
     "2:46", "1 port for up to 1 replica: a rolling restart"},
    {"scale_above_limit",
     SERVICE("replicas: { max: 2 }, scale: { cpu: 60% }, limits: { cpu: 50% }"), "3:51",
     "`cpu` of 60% is never exceeded: `limits` allows 50%"},
    {"no_user_in_a_file_for_root", "user: portunus\n" SERVICE(""), "4:3",
     "the service `a` has no `user`: it runs as root when `portunus run` is started as root",
     "`user: root` if that is meant"},
    {"pool_without_site",
     SITE "pools: { web: {} }\nservices: { a: { command: x, ports: 9001, pool: web } }\n", "2:10",
     "no site uses the pool `web`"},
};
INSTANTIATE_TEST_SUITE_P(All, ServiceWarnings, testing::ValuesIn(kServiceWarnings), name_of_row);

TEST(Services, AllErrorsAtOnce) {
  const LoadResult result = load_text(
      "sites: { \"*\": { respond: {} } }\nstate: x\nservices:\n"
      "  a:\n    command: \"{x}\"\n    replicas: -1\n    ports: 0\n    pool: none\n"
      "    stop: { signal: x }\n    limits: { memory: 1 }\n",
      "a.yaml");
  std::vector<std::uint32_t> lines;
  for (const Diagnostic& d : result.diagnostics)
    lines.push_back(d.line);
  EXPECT_THAT(lines, ElementsAre(2, 5, 6, 7, 8, 9, 10));
}

class ServiceFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "portunus_conf_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path) << text;
    return path.string();
  }

  std::filesystem::path folder_;
};

TEST_F(ServiceFiles, SecretsAreTakenAsTheyAre) {
  // No placeholder, and nothing of it is shown.
  const std::string secret = write("token", "a{secret}b\n");
  const LoadResult result = load_file(write(
      "main.yaml", kServiceSite + ("services: { a: { command: x, environment: { TOKEN: \"file:" +
                                   secret + "\", PLAIN: \"file:name\" } } }\n")));
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  EXPECT_THAT(
      result.model->services[0].environment,
      ElementsAre(testing::Pair("TOKEN", "a{secret}b"), testing::Pair("PLAIN", "file:name")));
  EXPECT_THAT(result.files, testing::Contains(secret));  // watched
}

TEST_F(ServiceFiles, FilesAddServices) {
  write("b.yaml", "services: { b: { command: x, ports: 9003-9004, pool: web } }\n");
  const std::string main =
      write("main.yaml",
            "include: b.yaml\nservices: { a: { command: x, ports: 9001-9002, pool: web } }\n"
            "pools: { web: {} }\nsites: { \"http://:80\": { pool: web } }\n");
  const LoadResult result = load_file(main);
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  ASSERT_EQ(result.model->services.size(), 2U);
  EXPECT_EQ(result.model->services[1].name, "b");
  EXPECT_EQ(result.model->services[1].pool, 0U);

  write("b.yaml", "services:\n  a: { command: y }\n");
  const LoadResult twice = load_file(main);
  EXPECT_EQ(twice.model, nullptr);
  ASSERT_EQ(twice.diagnostics.size(), 1U) << format_text(twice.diagnostics);
  EXPECT_EQ(twice.diagnostics[0].message, "the service `a` is defined a second time");
  EXPECT_EQ(twice.diagnostics[0].line, 2U);
  EXPECT_THAT(twice.diagnostics[0].hint, HasSubstr("main.yaml:2"));
}

}  // namespace
}  // namespace portunus::conf
