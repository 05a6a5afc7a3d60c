// One row per kind of error: the text, where the error is, and what it says.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "conf/load.h"

namespace portunus::conf {
namespace {

struct Row {
  const char* name;
  const char* text;
  const char* place;    // "line:column" of the first message; "0:0" = the file as a whole
  const char* message;  // part of it
  const char* hint = "";
};

class LoadErrors : public testing::TestWithParam<Row> {};

TEST_P(LoadErrors, HasPlaceAndReason) {
  const Row& row = GetParam();
  const LoadResult result = load_text(row.text, "test.yaml");
  EXPECT_EQ(result.model, nullptr);
  ASSERT_EQ(result.diagnostics.size(), 1U) << format_text(result.diagnostics);
  const Diagnostic& d = result.diagnostics[0];
  EXPECT_EQ(d.severity, Severity::error);
  EXPECT_EQ(d.file, "test.yaml");
  EXPECT_EQ(std::to_string(d.line) + ':' + std::to_string(d.column), row.place) << format_text(d);
  EXPECT_NE(d.message.find(row.message), std::string::npos) << format_text(d);
  EXPECT_NE(d.hint.find(row.hint), std::string::npos) << format_text(d);
}

#define SITE "sites: { \"http://:80\": 127.0.0.1:1 }\n"
#define ROUTE(text) \
  "pools: { web: [a:1], api: [b:1] }\nsites:\n  \"*\":\n    routes:\n      - " text "\n"
#define POOL(text) \
  "sites: { \"*\": { pool: web } }\npools:\n  web: { upstreams: [a:1], " text " }\n"

const Row kYaml[] = {
    {"empty", "", "0:0", "the file is empty"},
    {"comment_only", "# x\n", "0:0", "the file is empty"},
    {"syntax", "sites: a: b\n", "1:9", "not valid YAML", "quotes"},
    {"unclosed", "sites: [a\n", "2:1", "not valid YAML", "not closed"},
    {"two_documents", SITE "---\n" SITE, "2:1", "a second YAML document"},
    {"not_utf8", "sites:\n  \xff: 1\n", "2:3", "not UTF-8"},
    {"surrogate", "a\xed\xa0\x80: 1\n", "1:2", "not UTF-8"},
    {"overlong", "a\xc0\xaf: 1\n", "1:2", "not UTF-8"},
    {"cut_sequence", "a: \xe2\x82", "1:4", "not UTF-8"},
    {"control_character", "a: \x01\n", "1:4", "not UTF-8"},
    {"nul_escape", SITE "threads: \"1\\0\"\n", "2:10", "a NUL byte"},
    {"duplicate_key", "threads: 1\n" SITE "threads: 2\n", "3:1", "a second time", "test.yaml:1"},
    {"tag", SITE "threads: !!int 2\n", "2:10", "tags"},
    {"tag_of_list", SITE "trusted_proxies: !x []\n", "2:18", "tags"},
    {"key_is_list", SITE "? [a]\n: 1\n", "2:3", "a key must be plain text"},
    {"key_is_null", SITE "~: 1\n", "2:1", "a key must be plain text"},
    {"merge_key", "limits: &l { header_count: 1 }\n" SITE "log: { <<: *l }\n", "3:8", "merge keys"},
    {"unknown_anchor", "sites: *x\n", "1:8", "`*x` names nothing", "an alias needs"},
    {"open_quote", "sites:\n  \"a: 1\n", "3:1", "not valid YAML", "a quote is not closed"},
    {"bad_escape", "sites: { \"\\q\": 1 }\n", "1:11", "not valid YAML", "takes text as it is"},
    {"tab", "sites:\n\ta: 1\n", "2:1", "not valid YAML", "tabs cannot indent"},
    {"indent", "sites:\n  a: 1\n b: 2\n", "3:2", "not valid YAML", "a line above"},
    {"no_colon", "sites:\n  a: b:1\n  c\nd: 1\n", "4:1", "not valid YAML", "a key needs"},
    {"utf16",
     "\xff\xfe"
     "a\0:\0",
     "1:1", "not UTF-8"},
    {"alias_in_itself", "sites: &x { \"*\": *x }\n", "1:18", "inside what it names"},
    {"root_is_list", "- a\n", "1:1", "the file must be a table of keys, not a list"},
    {"root_is_text", "abc\n", "1:1", "not a single value"},
    {"no_sites", "threads: 1\n", "0:0", "no sites, and no services"},
    {"include_in_text", SITE "include: a.yaml\n", "2:10", "works in files only"},
    {"unset_variable", SITE "threads: ${PORTUNUS_TEST_NOT_SET}\n", "2:10", "is not set",
     ":-default"},
    {"unset_variable_in_key", SITE "pools: { \"${PORTUNUS_TEST_NOT_SET}\": [a:1] }\n", "2:10",
     "is not set"},
    {"open_variable", SITE "threads: ${A\n", "2:10", "without its `}`"},
};

const Row kValues[] = {
    {"unknown_key", SITE "thread: 1\n", "2:1", "unknown key `thread`", "did you mean `threads`?"},
    {"unknown_key_far", SITE "log: { zzzzzz: 1 }\n", "2:8", "unknown key `zzzzzz` in `log`",
     "known keys here: `level`"},
    {"later_key", SITE "acme: {}\n", "2:1", "unknown key `acme`", "later version"},
    {"later_key_of_pool", POOL("dns: {}"), "3:28", "unknown key", "later version"},
    {"later_key_of_site", "sites: { \"*\": { respond: {}, retry: {} } }\n", "1:30", "unknown key",
     "later version"},
    {"missing_key", SITE "listeners: { a: {} }\n", "2:17", "a listener needs the key `address`"},
    {"no_value", SITE "threads:\n", "2:1", "`threads` has no value"},
    {"empty_value", SITE "threads: \"\"\n", "2:10", "`threads` has no value"},
    {"list_for_value", SITE "threads: [1]\n", "2:10", "takes a single value, not a list"},
    {"map_for_value", SITE "threads: {}\n", "2:10", "takes a single value, not a table"},
    {"value_for_section", SITE "limits: 1\n", "2:9", "`limits` must be a table of keys",
     "`header_bytes`"},
    {"value_for_map", SITE "listeners: 1\n", "2:12", "must be a table of names"},
    {"not_a_number", SITE "threads: many\n", "2:10", "expected a whole number"},
    {"negative", SITE "threads: -1\n", "2:10", "expected a whole number"},
    {"too_small", SITE "threads: 0\n", "2:10", "out of range", "from 1 to 64"},
    {"too_large", SITE "limits: { header_count: 121 }\n", "2:25", "out of range", "from 1 to 120"},
    {"duration_without_unit", SITE "timeouts: { headers: 10 }\n", "2:22",
     "has no unit: write `10s`"},
    {"duration_wrong_unit", SITE "timeouts: { headers: 10sec }\n", "2:22", "`sec` is not a unit"},
    {"duration_out_of_range", SITE "timeouts: { headers: 2h }\n", "2:22", "out of range",
     "from 10ms to 1h"},
    {"size_without_unit", SITE "limits: { header_bytes: 32000 }\n", "2:25", "has no unit"},
    {"size_wrong_unit", SITE "limits: { header_bytes: 32KB }\n", "2:25", "`KB` is not a unit"},
    {"size_out_of_range", SITE "limits: { header_bytes: 1B }\n", "2:25", "out of range",
     "from 1KiB to 128KiB"},
    {"at_least", SITE "limits: { requests_per_connection: 0 }\n", "2:36", "out of range",
     "at least 1"},
    {"percent_without_unit", POOL("health: { jitter: 10 }"), "3:46", "has no unit: write `10%`"},
    {"boolean", SITE "forwarded_header: maybe\n", "2:19", "expected true or false"},
    {"choice", SITE "log: { level: inof }\n", "2:15", "expected `trace`", "did you mean `info`?"},
    {"address", SITE "listeners: { a: { address: host } }\n", "2:28", "has no port"},
    {"address_scheme", SITE "listeners: { a: http://x:1 }\n", "2:17", "has a scheme"},
    {"network", SITE "trusted_proxies: [10.0.0.0/33]\n", "2:19", "prefix length", "10.0.0.0/8"},
    {"network_name", SITE "trusted_proxies: localhost\n", "2:18", "not an IP address"},
    {"output_empty", SITE "log: { output: \"\" }\n", "2:16", "`output` has no value"},
    {"include_empty", SITE "include: [\"\"]\n", "2:11", "`include` has no value"},
    {"admin_not_loopback", SITE "admin: 0.0.0.0:9180\n", "2:8", "loopback only", "127.0.0.1:9180"},
    {"listener_name", SITE "listeners: { \"a b\": \":1\" }\n", "2:14",
     "cannot be the name of a listener"},
    {"listener_twice", "sites: { \"*\": { respond: {} } }\nlisteners: { a: \":1\", b: \":1\" }\n",
     "2:23", "the address `:1` of another one", "test.yaml:2"},
    {"admin_port_taken", "sites: { \"http://:9180\": 127.0.0.1:1 }\n", "1:10",
     "the admin interface already listens"},
};

const Row kPools[] = {
    {"name", SITE "pools: { \"a/b\": [a:1] }\n", "2:10", "cannot be the name of a pool"},
    {"no_upstreams", SITE "pools: { a: { host: x } }\n", "2:13", "needs the key `upstreams`"},
    {"empty_upstreams", SITE "pools: { a: [] }\n", "2:13", "at least one upstream"},
    {"no_port", SITE "pools: { a: [host] }\n", "2:14", "has no port"},
    {"no_host", SITE "pools: { a: [\":80\"] }\n", "2:14", "has no host"},
    {"port_zero", SITE "pools: { a: [\"b:0\"] }\n", "2:14", "port 0"},
    {"twice", SITE "pools: { a: [b:1, {address: B:1}] }\n", "2:19", "a second time", "`weight`"},
    {"weight", SITE "pools: { a: [{address: b:1, weight: 0}] }\n", "2:37", "out of range"},
    {"item_is_list", SITE "pools: { a: [[b:1]] }\n", "2:14", "takes a single value, not a list"},
    {"balance", POOL("balance: leastconn"), "3:37", "expected `least_connections`"},
    {"sticky_name", POOL("sticky: { cookie: \"a b\" }"), "3:46", "`cookie`: a name has"},
    {"sticky_secret", POOL("sticky: { secret: short }"), "3:46", "`secret`: from 32 to 1024",
     "openssl rand"},
    {"sticky_secret_file", POOL("sticky: { secret: \"file:a.key\" }"), "3:46",
     "named by its absolute path"},
    {"sticky_word", POOL("sticky: sometimes"), "3:36", "expected true or false"},
    {"sticky_key", POOL("sticky: { cookies: a }"), "3:38", "unknown key", "`cookie`"},
    {"sticky_ttl", POOL("sticky: { ttl: 10ms }"), "3:43", "out of range", "from 1s"},
    {"sticky_same_site", POOL("sticky: { same_site: none, secure: never }"), "3:36",
     "needs a cookie that is secure"},
    {"sticky_prefix", POOL("sticky: { cookie: __Host-a, secure: never }"), "3:36",
     "needs a cookie that is secure"},
    {"hash_on", POOL("balance: consistent_hash, hash_on: header"), "3:63", "expected `client_ip`"},
    {"when_unhealthy", POOL("when_unhealthy: panic"), "3:44", "`last_known` or `all`"},
    {"hash_bound_alone", POOL("hash_bound: 25%"), "3:40",
     "`balance: consistent_hash` and `source` only"},
    {"hash_bound", POOL("balance: source, hash_bound: 125%"), "3:57", "100%"},
    {"hash_on_alone", POOL("hash_on: path"), "3:37", "`balance: consistent_hash` only"},
    {"hash_on_source", POOL("balance: source, hash_on: path"), "3:54",
     "`balance: consistent_hash` only"},
    {"health_both", POOL("health: { path: /x, tcp: true }"), "3:53", "exclude each other"},
    {"health_neither", POOL("health: { tcp: false }"), "3:43", "needs a `path`", "health: off"},
    {"health_expect", POOL("health: { expect: { body: x } }"), "3:46", "needs an HTTP probe"},
    {"health_path", POOL("health: { path: x }"), "3:44", "starts with `/`"},
    {"health_status", POOL("health: { path: /, expect: { status: [200-99] } }"), "3:66",
     "expected a status"},
    {"health_host", POOL("health: { path: /, host: \"a b\" }"), "3:53", "is not a host name"},
    {"host", POOL("host: \"a:b\""), "3:34", "is not a host name"},
};

const Row kSites[] = {
    {"https", "sites: { \"https://a\": \"b:1\" }\n", "1:10", "needs a certificate"},
    {"scheme", "sites: { \"ftp://a\": \"b:1\" }\n", "1:10", "the scheme of a site is http://"},
    {"port_alone", "sites: { \"a:80\": \"b:1\" }\n", "1:10", "write `http://a:80`"},
    {"path", "sites: { \"http://a/b\": \"b:1\" }\n", "1:10", "routes match paths"},
    {"star", "sites: { \"*.*.a\": \"b:1\" }\n", "1:10", "first label only"},
    {"nothing", "sites:\n  \"http://a\": {}\n", "2:3", "has nothing to serve"},
    {"pool_as_member", "pools: { web: [a:1] }\nsites: { \"*\": web }\n", "2:15", "is a pool", ""},
    {"unknown_pool", ROUTE("pool: wbe"), "5:15", "there is no pool `wbe`", "did you mean `web`?"},
    {"unknown_pool_far", ROUTE("pool: zzzzzz"), "5:15", "there is no pool `zzzzzz`",
     "under `pools`"},
    {"unknown_split_pool", ROUTE("split: { web: 1, apo: 1 }"), "5:26", "there is no pool `apo`",
     "`api`"},
    {"unknown_listener",
     "listeners: { main: \":1\" }\nsites: { \"*\": { respond: {}, listeners: [mian] } }\n", "2:42",
     "there is no listener `mian`", "`main`"},
    {"alias", "sites: { \"http://a\": { respond: {}, aliases: [\"b c\"] } }\n", "1:47",
     "is not a host name"},
    {"host_twice",
     "sites:\n  \"http://a\": { respond: {} }\n  \"http://b\": { respond: {}, aliases: [A] }\n",
     "3:40", "the host `a` is taken", "test.yaml:2"},
    {"no_action", ROUTE("match: { path: /x }"), "5:9", "does nothing"},
    {"two_actions", ROUTE("{ pool: web, respond: {} }"), "5:31", "already has something to do"},
    {"split_zero", ROUTE("split: { web: 0, api: 0 }"), "5:16", "a weight above 0"},
    {"split_by", ROUTE("{ split: { web: 1 }, split_by: user }"), "5:40", "expected `client_ip`"},
    {"split_by_name", ROUTE("{ split: { web: 1 }, split_by: \"cookie:\" }"), "5:40",
     "expected `client_ip`"},
    {"split_by_alone", ROUTE("{ pool: web, split_by: request }"), "5:32",
     "works with `split` only"},
    {"split_by_without",
     "sites: { \"http://a\": { split_by: request, routes: [{ respond: {} }] } }\n", "1:34",
     "works with `split` only"},
    {"path_star", ROUTE("{ match: { path: /a* }, pool: web }"), "5:26",
     "a star stands only at the end"},
    {"path_relative", ROUTE("{ match: { path: a }, pool: web }"), "5:26", "a path starts with `/`"},
    {"method", ROUTE("{ match: { method: get }, pool: web }"), "5:28", "in capitals"},
    {"header_name", ROUTE("{ match: { header: { \"a b\": x } }, pool: web }"), "5:30",
     "not the name of a header field"},
    {"header_value", ROUTE("{ match: { header: { a: \"x\\ny\" } }, pool: web }"), "5:33",
     "cannot be the value"},
    {"query_name", ROUTE("{ match: { query: { \"\": x } }, pool: web }"), "5:29", "is empty"},
    {"name", ROUTE("{ name: \"a b\", pool: web }"), "5:17", "`name`"},
    {"strip_prefix", ROUTE("{ strip_prefix: /a/*, pool: web }"), "5:25", "whole segments"},
    {"strip_and_rewrite", ROUTE("{ strip_prefix: /a, rewrite: /b, pool: web }"), "5:38",
     "exclude each other"},
    {"strip_and_respond", ROUTE("{ strip_prefix: /a, respond: {} }"), "5:25",
     "only a route with a `pool`"},
    {"rewrite", ROUTE("{ rewrite: b, pool: web }"), "5:20", "a path starts with `/`"},
    {"rewrite_query", ROUTE("{ rewrite: \"/b?c\", pool: web }"), "5:20", "the query stays"},
    {"placeholder", ROUTE("{ rewrite: \"/{pth}\", pool: web }"), "5:20", "`{pth}` is unknown here"},
    {"brace", ROUTE("redirect: \"/{path\""), "5:19", "in pairs"},
    {"path_rest", ROUTE("{ match: { path: /a }, redirect: \"/{path.rest}\" }"), "5:42",
     "`{path.rest}`"},
    {"redirect_relative", ROUTE("redirect: x"), "5:19", "a path or a whole URL"},
    {"redirect_other_host", ROUTE("redirect: //x"), "5:19", "a path or a whole URL"},
    {"redirect_missing", ROUTE("redirect: { code: 301 }"), "5:19", "needs the key `to`"},
    {"redirect_code", ROUTE("redirect: { to: /, code: 300 }"), "5:34", "expected `301`"},
    {"respond_status", ROUTE("respond: { status: 101 }"), "5:28", "out of range"},
    {"respond_body", ROUTE("respond: { status: 204, body: x }"), "5:18", "has no body"},
    {"respond_type", ROUTE("respond: { content_type: \"a\\r\\nb\" }"), "5:34", "media type"},
    {"set_list", ROUTE("{ pool: web, request_headers: { set: { a: [x, y] } } }"), "5:51",
     "one value", "`add`"},
    {"own_field", ROUTE("{ pool: web, response_headers: { remove: [Content-Length] } }"), "5:51",
     "belongs to the connection"},
    {"host_field", ROUTE("{ pool: web, request_headers: { set: { Host: x } } }"), "5:39",
     "cannot change `Host`", "`host`"},
    {"field_value", ROUTE("{ pool: web, response_headers: { add: { a: \"x\\ny\" } } }"), "5:52",
     "cannot be the value"},
    {"route_name_twice",
     ROUTE("{ name: n, match: { path: /a }, pool: web }\n      - { name: n, pool: web }"), "6:9",
     "a second route with the name `n`", "test.yaml:5"},
};

std::string name_of(const testing::TestParamInfo<Row>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Yaml, LoadErrors, testing::ValuesIn(kYaml), name_of);
INSTANTIATE_TEST_SUITE_P(Values, LoadErrors, testing::ValuesIn(kValues), name_of);
INSTANTIATE_TEST_SUITE_P(Pools, LoadErrors, testing::ValuesIn(kPools), name_of);
INSTANTIATE_TEST_SUITE_P(Sites, LoadErrors, testing::ValuesIn(kSites), name_of);

// Warnings leave the model usable.
class LoadWarnings : public testing::TestWithParam<Row> {};

TEST_P(LoadWarnings, HasPlaceAndReason) {
  const Row& row = GetParam();
  const LoadResult result = load_text(row.text, "test.yaml");
  EXPECT_NE(result.model, nullptr);
  ASSERT_EQ(result.diagnostics.size(), 1U) << format_text(result.diagnostics);
  const Diagnostic& d = result.diagnostics[0];
  EXPECT_EQ(d.severity, Severity::warning);
  EXPECT_EQ(std::to_string(d.line) + ':' + std::to_string(d.column), row.place) << format_text(d);
  EXPECT_NE(d.message.find(row.message), std::string::npos) << format_text(d);
}

const Row kWarnings[] = {
    {"unused_pool", SITE "pools: { web: [a:1] }\n", "2:10", "nothing uses the pool `web`"},
    {"unused_listener", SITE "listeners: { main: \":1\" }\n", "2:14",
     "no site uses the listener `main`"},
    {"unreachable", ROUTE("split: { web: 1, api: 1 }\n      - pool: api"), "6:9",
     "no request comes to this route"},
    {"plain_http", "sites:\n  a.example: b:1\n  c.example: b:1\n", "2:3",
     "automatic HTTPS comes with a later version"},
};
INSTANTIATE_TEST_SUITE_P(All, LoadWarnings, testing::ValuesIn(kWarnings), name_of);

TEST(LoadErrors, AllAtOnceInTheOrderOfTheFile) {
  const LoadResult result = load_text(
      "threads: x\nlimits: { header_bytes: 5 }\npools: { web: [a] }\nsites: { \"*\": { pool: wob } "
      "}\nlgo: {}\n",
      "a.yaml");
  std::vector<std::uint32_t> lines;
  for (const Diagnostic& d : result.diagnostics)
    lines.push_back(d.line);
  EXPECT_EQ(lines, (std::vector<std::uint32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(result.model, nullptr);
}

TEST(LoadErrors, AliasesAreBounded) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + below;
    for (int k = 0; k < 9; ++k)
      text += ", " + below;
    text += "]\n";
  }
  const LoadResult result = load_text(text, "a.yaml");
  ASSERT_EQ(result.diagnostics.size(), 1U);
  EXPECT_NE(result.diagnostics[0].message.find("too large"), std::string::npos);
}

TEST(LoadErrors, DepthIsBounded) {
  for (const int depth : {100, 100'000}) {
    const LoadResult result =
        load_text("a: " + std::string(static_cast<std::size_t>(depth), '['), "a.yaml");
    ASSERT_EQ(result.diagnostics.size(), 1U);
    EXPECT_NE(result.diagnostics[0].message.find("nested deeper"), std::string::npos);
  }
}

}  // namespace
}  // namespace portunus::conf
