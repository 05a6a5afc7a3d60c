#include "conf/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace portunus::conf {
namespace {

constexpr const char* kSite = "sites: { \"http://:80\": 127.0.0.1:1 }\n";

std::unique_ptr<const Model> load(std::string_view text) {
  LoadResult result = load_text(text, "test.yaml");
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return std::move(result.model);
}

TEST(Load, TwoLinesAreAFrontDoor) {
  const auto model = load("sites:\n  \"http://:8080\": [127.0.0.1:9001, 127.0.0.1:9002]\n");
  ASSERT_TRUE(model);
  ASSERT_EQ(model->listeners.size(), 1U);
  EXPECT_EQ(model->listeners[0].name, "http-8080");
  EXPECT_EQ(model->listeners[0].address, (Address{"", 8080}));
  EXPECT_EQ(model->listeners[0].declared_at, "test.yaml:2");
  ASSERT_EQ(model->pools.size(), 1U);
  EXPECT_EQ(model->pools[0].name, "http://:8080");
  ASSERT_EQ(model->pools[0].upstreams.size(), 2U);
  EXPECT_EQ(model->pools[0].upstreams[1].address, (Address{"127.0.0.1", 9002}));
  EXPECT_EQ(model->pools[0].health.kind, ProbeKind::tcp);
  ASSERT_EQ(model->sites.size(), 1U);
  EXPECT_EQ(model->sites[0].hosts, std::vector<std::string>{"*"});
  EXPECT_EQ(model->sites[0].listeners, std::vector<std::size_t>{0});
  ASSERT_EQ(model->sites[0].routes.size(), 1U);
  EXPECT_EQ(model->sites[0].routes[0].name, "http://:8080");
  EXPECT_EQ(std::get<Forward>(model->sites[0].routes[0].action).shares,
            std::vector<PoolShare>{PoolShare{}});
}

TEST(Load, BareHostIsPlainHttpForNow) {
  const auto model = load("sites:\n  example.com: localhost:8080\n");
  ASSERT_TRUE(model);
  ASSERT_EQ(model->listeners.size(), 1U);
  EXPECT_EQ(model->listeners[0].name, "http");
  EXPECT_EQ(model->listeners[0].address, (Address{"", 80}));
  EXPECT_EQ(model->pools[0].upstreams[0].address, (Address{"localhost", 8080}));
  EXPECT_FALSE(model->access_log.format != AccessLogFormat::off);
}

TEST(Load, SitesShareListeners) {
  const auto model = load(
      "listeners: { main: \":80\", inner: 127.0.0.1:81 }\n"
      "sites:\n"
      "  a: { respond: {} }\n"
      "  \"http://b\": { respond: {} }\n"
      "  \"http://b:8080\": { respond: {}, listeners: inner }\n"
      "  \"http://c:8080\": { respond: {} }\n"
      "  \"http://127.0.0.1:8080\": { respond: {} }\n");
  ASSERT_TRUE(model);
  ASSERT_EQ(model->listeners.size(), 4U);
  EXPECT_EQ(model->listeners[2].name, "http-8080");
  EXPECT_EQ(model->listeners[3].address, (Address{"127.0.0.1", 8080}));
  EXPECT_EQ(model->listeners[3].name, "http-127.0.0.1:8080");
  EXPECT_EQ(model->sites[0].listeners, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(model->sites[1].listeners, (std::vector<std::size_t>{0}));
  EXPECT_EQ(model->sites[2].listeners, (std::vector<std::size_t>{2, 1}));
  EXPECT_EQ(model->sites[3].listeners, (std::vector<std::size_t>{2}));
  EXPECT_EQ(model->sites[4].listeners, (std::vector<std::size_t>{3}));
}

TEST(Load, RoutesKeepTheirOrderAndGetNames) {
  const auto model = load(
      "pools: { web: [a:1], api: [b:1], a.example: [c:1] }\n"
      "sites:\n"
      "  \"http://x\":\n"
      "    pool: web\n"
      "    routes:\n"
      "      - { match: { path: [/api/*, /rpc], method: POST, header: { X-A: \"*\", X-B: v1* }, "
      "query: { q: z } }, pool: api,\n"
      "          strip_prefix: /api, limits: { body_bytes: 1KiB }, timeouts: { total: 3s } }\n"
      "      - { match: { method: GET }, split: { web: 9, api: 1 }, split_by: \"header:X-A\", "
      "name: mine }\n"
      "      - { match: { path: /api/* }, redirect: \"https://{host}/v2/{path.rest}\" }\n"
      "      - { match: { method: PUT }, redirect: { to: \"/x?a\", code: 302 } }\n"
      "  \"http://a.example\": c:2\n"
      "  \"http://b.example\": { pool: a.example }\n");
  ASSERT_TRUE(model);
  const auto& routes = model->sites[0].routes;
  ASSERT_EQ(routes.size(), 5U);
  EXPECT_EQ(routes[0].name, "http://x/api/*");
  EXPECT_EQ(routes[1].name, "mine");
  EXPECT_EQ(routes[2].name, "http://x/api/*#3");
  EXPECT_EQ(routes[3].name, "http://x#4");
  EXPECT_EQ(routes[4].name, "http://x");
  const Match expected{
      .paths = {{"/api", true}, {"/rpc", false}},
      .methods = {"POST"},
      .headers = {{"x-a", FieldTest::present, ""}, {"x-b", FieldTest::prefix, "v1"}},
      .query = {{"q", FieldTest::exact, "z"}}};
  EXPECT_TRUE(routes[0].match == expected);
  EXPECT_EQ(std::get<Forward>(routes[0].action).strip_prefix, "/api");
  EXPECT_EQ(std::get<Forward>(routes[0].action).shares, (std::vector<PoolShare>{{1, 1}}));
  EXPECT_EQ(routes[0].body_bytes, 1024U);
  EXPECT_EQ(routes[0].total, Milliseconds(3000));
  EXPECT_EQ(std::get<Forward>(routes[1].action).shares, (std::vector<PoolShare>{{0, 9}, {1, 1}}));
  EXPECT_EQ(std::get<Forward>(routes[1].action).split_by, (SplitKey{SplitBy::header, "x-a"}));
  EXPECT_EQ(std::get<Forward>(routes[0].action).split_by, SplitKey{});
  EXPECT_TRUE(std::get<Redirect>(routes[2].action).keep_query);
  EXPECT_FALSE(std::get<Redirect>(routes[3].action).keep_query);
  EXPECT_EQ(std::get<Redirect>(routes[3].action).code, 302);
  // An anonymous pool never takes the name of a pool of the user's.
  EXPECT_EQ(model->pools[std::get<Forward>(model->sites[1].routes[0].action).shares[0].pool]
                .upstreams[0]
                .address.port,
            2);
  EXPECT_EQ(model->pools[std::get<Forward>(model->sites[2].routes[0].action).shares[0].pool]
                .upstreams[0]
                .address.port,
            1);
}

TEST(Load, StickyInItsForms) {
  const auto model = load(
      "pools:\n  a: { upstreams: [a:1], sticky: true }\n  b: { upstreams: [a:1], sticky: off }\n"
      "  c: { upstreams: [a:1], sticky: { cookie: home, ttl: 90s, secure: always, same_site: "
      "strict,"
      " secret: 0123456789abcdef0123456789abcdef } }\n  d: [a:1]\n"
      "sites: { \"*\": { split: { a: 1, b: 1, c: 1, d: 1 } } }\n");
  ASSERT_TRUE(model);
  EXPECT_EQ(model->pools[0].sticky, Sticky{});
  EXPECT_FALSE(model->pools[1].sticky);
  EXPECT_EQ(model->pools[2].sticky, (Sticky{"home", Milliseconds(90'000), CookieSecure::always,
                                            SameSite::strict, "0123456789abcdef0123456789abcdef"}));
  EXPECT_FALSE(model->pools[3].sticky);
}

TEST(Load, ValuesArriveInTheModel) {
  ::setenv("PORTUNUS_TEST_PORT", "9001", 1);
  const auto model = load(
      "threads: 3\nforwarded_header: on\ntrusted_proxies: [10.0.0.0/8, \"::1\"]\n"
      "limits: { header_bytes: 64KiB }\ntimeouts: { body: 250ms }\nadmin: off\naccess_log: "
      "/tmp/x.log\n"
      "log: { level: debug, format: json, output: stdout }\nshutdown: { drain: 1m }\n"
      "pools:\n  web: &web\n    upstreams: [{ address: \"127.0.0.1:${PORTUNUS_TEST_PORT}\", "
      "weight: 3, backup: true }]\n"
      "    balance: source\n    hash_bound: 25%\n    when_unhealthy: last_known\n    health: { "
      "path: /h, expect: { status: [200, 301-302] }, jitter: 0% "
      "}\n"
      "    overload: { max_pending: 0 }\n  twin: *web\n  quiet: { upstreams: [a:1], health: off, "
      "balance: consistent_hash,\n"
      "    hash_on: \"header:X-Key\" }\n"
      "sites: { \"*\": { split: { web: 1, twin: 1, quiet: 0 } } }\n");
  ASSERT_TRUE(model);
  EXPECT_EQ(model->threads, 3U);
  EXPECT_TRUE(model->forwarded_header);
  EXPECT_EQ(model->trusted_proxies.size(), 2U);
  EXPECT_EQ(model->limits.header_bytes, 65536U);
  EXPECT_EQ(model->timeouts.body, Milliseconds(250));
  EXPECT_FALSE(model->admin.is_enabled);
  EXPECT_EQ(model->access_log.format, AccessLogFormat::json);
  EXPECT_EQ(model->access_log.output.path, "/tmp/x.log");
  EXPECT_EQ(model->log.level, LogLevel::debug);
  EXPECT_EQ(model->log.output.kind, OutputKind::standard_output);
  EXPECT_EQ(model->shutdown.drain, Milliseconds(60'000));
  const Pool& web = model->pools[0];
  EXPECT_EQ(web.upstreams[0], (Upstream{{"127.0.0.1", 9001}, 3, true}));
  EXPECT_EQ(web.balance, Balance::consistent_hash);
  EXPECT_EQ(web.hash_on.source, HashSource::client_ip);
  EXPECT_DOUBLE_EQ(web.hash_bound_ratio, 0.25);
  EXPECT_EQ(web.when_unhealthy, WhenUnhealthy::last_known);
  EXPECT_EQ(web.health.kind, ProbeKind::http);
  EXPECT_EQ(web.health.expect_status, (std::vector<StatusRange>{{200, 200}, {301, 302}}));
  EXPECT_EQ(web.overload.max_pending, 0U);
  Pool twin = model->pools[1];
  twin.name = "web";
  EXPECT_TRUE(twin == web);
  EXPECT_EQ(model->pools[2].health.kind, ProbeKind::off);
  EXPECT_EQ(model->pools[2].hash_on, (HashKey{HashSource::header, "x-key"}));
}

TEST(Load, ExamplesLoadWithoutAWord) {
  for (const char* path : {"conf/examples/minimal.yaml", "conf/examples/full.yaml",
                           "conf/examples/services.yaml", "conf/portunus.yaml"}) {
    const LoadResult result = load_file(path);
    EXPECT_NE(result.model, nullptr) << path;
    EXPECT_TRUE(result.diagnostics.empty()) << format_text(result.diagnostics);
  }
}

class LoadFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "portunus_conf_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  // "file:line:column message" of the only diagnostic.
  std::string only_error(const std::string& path) {
    const LoadResult result = load_file(path);
    EXPECT_EQ(result.model, nullptr);
    EXPECT_EQ(result.diagnostics.size(), 1U) << format_text(result.diagnostics);
    if (result.diagnostics.empty()) return {};
    return format_text(result.diagnostics[0]).substr(folder_.string().size() + 1);
  }

  std::filesystem::path folder_;
};

TEST_F(LoadFiles, IncludesAreSortedAndRelative) {
  write("conf.d/b.yaml", "sites: { \"http://b\": \"x:1\" }\n");
  write("conf.d/a.yaml", "sites: { \"http://a\": { pool: late } }\ninclude: more/c.yaml\n");
  write("conf.d/more/c.yaml", "pools: { late: [x:2] }\n");
  const std::string main = write("main.yaml", "include: [conf.d/*.yaml]\nthreads: 2\n");
  const LoadResult result = load_file(main);
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  ASSERT_EQ(result.model->sites.size(), 2U);
  EXPECT_EQ(result.model->sites[0].name, "http://a");
  ASSERT_EQ(result.files.size(), 4U);
  EXPECT_EQ(result.files[0], main);
  EXPECT_TRUE(result.files[1].ends_with("conf.d/a.yaml"));
  EXPECT_TRUE(result.files[2].ends_with("conf.d/more/c.yaml"));
  ASSERT_EQ(result.folders.size(), 2U);
  EXPECT_EQ(result.folders[0], (folder_ / "conf.d").string());
  const std::string before = result.hash;
  write("conf.d/b.yaml", "sites: { \"http://c\": \"x:1\" }\n");
  EXPECT_NE(load_file(main).hash, before);
}

TEST_F(LoadFiles, SecretsComeFromFiles) {
  const std::string secret = write("token", "Bearer s3cret\r\n");
  const std::string main =
      write("main.yaml",
            "sites:\n  \"http://a\":\n    pool: web\n    request_headers:\n      set: { "
            "Authorization: \"file:" +
                secret + "\", X-Plain: \"file:name\" }\n      add: { X-Again: \"file:" + secret +
                "\" }\npools: { web: [x:1] }\n");
  const LoadResult result = load_file(main);
  ASSERT_NE(result.model, nullptr) << format_text(result.diagnostics);
  const HeaderChanges& changes = result.model->sites[0].request_headers;
  EXPECT_EQ(changes.set, (std::vector<HeaderField>{{"authorization", "Bearer s3cret"},
                                                   {"x-plain", "file:name"}}));
  EXPECT_EQ(changes.add, (std::vector<HeaderField>{{"x-again", "Bearer s3cret"}}));
  EXPECT_EQ(result.files, (std::vector{main, secret}));  // watched, once
  EXPECT_EQ(hash_of_files(result.files), result.hash);
  write("token", "Bearer other");
  EXPECT_NE(load_file(main).hash, result.hash);
  EXPECT_EQ(load_file(main).shown_hash, result.shown_hash) << "tells nothing of the secret";
  EXPECT_EQ(hash_of_files(result.files), load_file(main).hash);
  std::filesystem::remove(secret);
  EXPECT_EQ(hash_of_files(result.files), "");
}

TEST_F(LoadFiles, ACopyStandsForAllFiles) {
  const std::string secret = write("token", "Bearer s3cret\n");
  write("conf.d/b.yaml", "sites: { \"http://b\": \"x:1\" }\n");
  write("conf.d/a.yaml", "sites: { \"http://a\": { pool: late } }\ninclude: more/c.yaml\n");
  write("conf.d/more/c.yaml", "pools: { late: [x:2] }\n");
  write("conf.d/.hidden.yaml", "nonsense");
  const std::string main = write(
      "main.yaml",
      "include: [conf.d/*.yaml]\nsites:\n  \"http://c\":\n    pool: late\n    request_headers:\n"
      "      set: { Authorization: \"file:" +
          secret + "\" }\n");
  const LoadResult first = load_file(main, {.keeps_copy = true});
  ASSERT_NE(first.model, nullptr) << format_text(first.diagnostics);
  const auto kept = first.copy.read();
  ASSERT_TRUE(kept);
  std::filesystem::remove_all(folder_);
  write("main.yaml", "nonsense");
  const LoadResult again = load_file(main, {.instead = &*kept, .keeps_copy = true});
  ASSERT_NE(again.model, nullptr) << format_text(again.diagnostics);
  EXPECT_EQ(again.hash, first.hash);
  EXPECT_EQ(again.files, first.files);
  EXPECT_EQ(again.folders, first.folders);
  ASSERT_EQ(again.model->sites.size(), first.model->sites.size());
  for (std::size_t i = 0; i < again.model->sites.size(); ++i)
    EXPECT_EQ(again.model->sites[i].name, first.model->sites[i].name);
  EXPECT_EQ(again.model->sites[2].request_headers.set.size() +
                again.model->sites[0].request_headers.set.size(),
            1U);
  EXPECT_TRUE(again.copy.is_sealed()) << "a copy of the copy";
  EXPECT_FALSE(load_file(main).copy.is_set()) << "nobody asked for it";
}

TEST_F(LoadFiles, SecretsThatAreNone) {
  const auto error_of = [&](const std::string& path) {
    return only_error(write("main.yaml",
                            "sites:\n  \"http://a\":\n    pool: web\n    "
                            "request_headers: { set: { X-A: \"file:" +
                                path + "\" } }\npools: { web: [x:1] }\n"));
  };
  EXPECT_THAT(error_of("/no/such/file"),
              testing::HasSubstr("/no/such/file: cannot open the file: No such file"));
  EXPECT_THAT(error_of(folder_.string()), testing::HasSubstr("a directory"));
  EXPECT_THAT(error_of(write("empty", "\n")), testing::HasSubstr("the file is empty"));
  EXPECT_THAT(error_of(write("large", std::string(8193, 'x'))), testing::HasSubstr("larger than"));
  const std::string broken = error_of(write("lines", "top\nsecret\n"));
  EXPECT_THAT(broken, testing::HasSubstr("cannot be the value of a header field"));
  EXPECT_THAT(broken, testing::Not(testing::HasSubstr("secret\n")));
  const LoadResult text = load_text(
      "sites: { \"http://a\": { pool: w, request_headers: { set: { X-A: \"file:/etc/passwd\" } } } "
      "}\n"
      "pools: { w: [x:1] }\n",
      "text.yaml");
  EXPECT_THAT(format_text(text.diagnostics), testing::HasSubstr("works in files only"));
}

TEST_F(LoadFiles, NothingMatchesIsFine) {
  EXPECT_NE(load_file(write("main.yaml", std::string(kSite) + "include: conf.d/*.yaml\n")).model,
            nullptr);
}

TEST_F(LoadFiles, ErrorsNameBothPlaces) {
  write("b.yaml", "pools:\n  web: [a:1]\n");
  std::string error = only_error(
      write("main.yaml", std::string(kSite) + "pools: { web: [a:1] }\ninclude: b.yaml\n"));
  EXPECT_TRUE(error.starts_with("b.yaml:2:3: error: the pool `web` is defined a second time"))
      << error;
  EXPECT_NE(error.find("main.yaml:2"), std::string::npos) << error;

  write("b.yaml", std::string(kSite));
  error = only_error(write("main.yaml", std::string(kSite) + "include: b.yaml\n"));
  EXPECT_TRUE(
      error.starts_with("b.yaml:1:10: error: the site `http://:80` is defined a second time"))
      << error;

  write("b.yaml", "listeners: { a: \":2\" }\n");
  error = only_error(
      write("main.yaml", std::string(kSite) + "listeners: { a: \":1\" }\ninclude: b.yaml\n"));
  EXPECT_TRUE(error.starts_with("b.yaml:1:14: error: the listener `a` is defined a second time"))
      << error;

  write("b.yaml", "threads: 1\n");
  error = only_error(write("main.yaml", std::string(kSite) + "threads: 2\ninclude: b.yaml\n"));
  EXPECT_TRUE(error.starts_with("b.yaml:1:1: error: `threads` stands in another file already"))
      << error;
  EXPECT_NE(error.find("main.yaml:2"), std::string::npos) << error;
}

TEST_F(LoadFiles, IncludeErrors) {
  EXPECT_NE(
      only_error(write("a.yaml", std::string(kSite) + "include: no.yaml\n")).find("No such file"),
      std::string::npos);
  EXPECT_NE(
      only_error(write("b.yaml", std::string(kSite) + "include: b.yaml\n")).find("is read already"),
      std::string::npos);
  for (int i = 0; i < 12; ++i) {
    write("d" + std::to_string(i) + ".yaml", "include: d" + std::to_string(i + 1) + ".yaml\n");
  }
  EXPECT_NE(
      only_error(write("c.yaml", std::string(kSite) + "include: d0.yaml\n")).find("levels deep"),
      std::string::npos);
  write("empty.yaml", "# nothing\n");
  const LoadResult result =
      load_file(write("e.yaml", std::string(kSite) + "include: empty.yaml\n"));
  EXPECT_NE(result.model, nullptr);
  ASSERT_EQ(result.diagnostics.size(), 1U);
  EXPECT_EQ(result.diagnostics[0].severity, Severity::warning);
}

TEST_F(LoadFiles, FilesThatAreNone) {
  EXPECT_NE(format_text(load_file((folder_ / "no.yaml").string()).diagnostics).find("No such file"),
            std::string::npos);
  EXPECT_NE(format_text(load_file(folder_.string()).diagnostics).find("a directory"),
            std::string::npos);
  EXPECT_NE(format_text(load_file("/dev/zero").diagnostics).find("not a regular file"),
            std::string::npos);
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_NE(
      format_text(load_file((folder_ / "fifo").string()).diagnostics).find("not a regular file"),
      std::string::npos);
  const std::string closed = write("closed.yaml", std::string(kSite));
  ASSERT_EQ(::chmod(closed.c_str(), 0), 0);
  if (::geteuid() != 0) {  // root reads everything
    EXPECT_NE(format_text(load_file(closed).diagnostics).find("Permission denied"),
              std::string::npos);
  }
}

TEST_F(LoadFiles, AHugeFileIsRefusedUnread) {
  const std::string path = write("huge.yaml", "");
  ASSERT_EQ(::truncate(path.c_str(), 100 << 20), 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(only_error(path).find("larger than 16MiB"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

}  // namespace
}  // namespace portunus::conf
