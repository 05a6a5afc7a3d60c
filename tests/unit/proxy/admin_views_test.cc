#include "proxy/admin_views.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/version.h"
#include "proxy/admin_guard.h"

namespace portunus::proxy {
namespace {

using nlohmann::json;

MemberView make_member() {
  MemberView member;
  member.name = "localhost:9001";
  member.address = "127.0.0.1:9001";
  member.state = "down";
  member.since_us = 1'738'310'950'123'456;
  member.reason = "3 probes failed: connection refused";
  member.in_flight = 2;
  member.connections = 5;
  member.weight = 7;
  member.is_backup = true;
  member.probe_kind = "http";
  member.probe_at_us = 1'738'310'951'000'000;
  member.probe_status = 503;
  member.probe_duration_s = 0.0125;
  member.probe_detail = "status 503";
  member.failures = 3;
  member.probes_good = 10;
  member.probes_bad = 4;
  return member;
}

TEST(AdminViews, WritesTimesAsRfc3339) {
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(utc_text(1'738'310'950'123'456), "2025-01-31T08:09:10.123456Z");
  EXPECT_EQ(utc_text(1'709'164'800'000'001), "2024-02-29T00:00:00.000001Z");
}

TEST(AdminViews, ShowsAMember) {
  const json pool = json::parse(pool_json({"api", "round_robin", {make_member()}, "all", true}));
  EXPECT_EQ(pool["name"], "api");
  EXPECT_EQ(pool["balance"], "round_robin");
  EXPECT_EQ(pool["when_unhealthy"], "all");
  EXPECT_EQ(pool["panic"], true);
  EXPECT_EQ(pool["selectable"], 0);
  const json& member = pool["members"][0];
  EXPECT_EQ(member["upstream"], "localhost:9001");
  EXPECT_EQ(member["address"], "127.0.0.1:9001");
  EXPECT_EQ(member["state"], "down");
  EXPECT_EQ(member["since"], "2025-01-31T08:09:10.123456Z");
  EXPECT_EQ(member["reason"], "3 probes failed: connection refused");
  EXPECT_EQ(member["selectable"], false);
  EXPECT_EQ(member["backup"], true);
  EXPECT_EQ(member["weight"], 7);
  EXPECT_EQ(member["in_flight"], 2);
  EXPECT_EQ(member["connections"], 5);
  const json& probe = member["probe"];
  EXPECT_EQ(probe["kind"], "http");
  EXPECT_EQ(probe["at"], "2025-01-31T08:09:11.000000Z");
  EXPECT_EQ(probe["ok"], false);
  EXPECT_EQ(probe["status"], 503);
  EXPECT_EQ(probe["duration_s"], 0.0125);
  EXPECT_EQ(probe["detail"], "status 503");
  EXPECT_EQ(probe["failures"], 3);
  EXPECT_EQ(probe["good_total"], 10);
  EXPECT_EQ(probe["bad_total"], 4);
}

TEST(AdminViews, LeavesOutWhatIsNotKnown) {
  MemberView member;
  member.probe_kind = "tcp";
  const json shown = json::parse(pool_json({"api", "", {member}}))["members"][0];
  EXPECT_FALSE(shown.contains("since"));
  EXPECT_FALSE(shown.contains("reason"));
  for (const char* key : {"at", "ok", "status", "duration_s", "detail"}) {
    EXPECT_FALSE(shown["probe"].contains(key)) << key;
  }
  EXPECT_EQ(shown["probe"]["kind"], "tcp");
}

TEST(AdminViews, EscapesWhatMembersSay) {
  MemberView member = make_member();
  member.probe_detail = "\x1b[31m\"\xff\r\n\\";
  const std::string text = pool_json({"a\"b", "", {member}});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const json pool = json::parse(text);
  EXPECT_EQ(pool["name"], "a\"b");
  EXPECT_EQ(pool["members"][0]["probe"]["detail"], "\x1b[31m\"\xef\xbf\xbd\r\n\\");
}

TEST(AdminViews, GrowsToAnySize) {
  MemberView member = make_member();
  member.reason = std::string(300, '\x01');  // six bytes each in JSON
  std::vector<PoolView> pools(50, PoolView{"p", "b", std::vector<MemberView>(20, member)});
  const json all = json::parse(pools_json(pools));
  ASSERT_EQ(all["pools"].size(), 50U);
  EXPECT_EQ(all["pools"][49]["members"][19]["reason"], member.reason);
  EXPECT_EQ(json::parse(pools_json({}))["pools"], json::array());
}

TEST(AdminViews, ShowsTheStatus) {
  StatusView status;
  status.state = "draining";
  status.started_us = 1'000'000'000'000'000;
  status.config_file = "/etc/portunus/portunus.yaml";
  status.config_hash = "00ff";
  status.generation = 4;
  status.generations_alive = 2;
  status.loaded_us = 1'000'000'001'000'000;
  status.last_reload_ok = false;
  status.last_reload_error = "line 3";
  status.reloads_ok = 3;
  status.reloads_failed = 1;
  status.threads = 2;
  status.connections = 17;
  status.sites = 5;
  status.routes = 6;
  status.listeners = {{"web", "0.0.0.0:80"}};
  const json shown = json::parse(status_json(status, "draining", 1'000'000'002'500'000));
  EXPECT_EQ(shown["state"], "draining");
  EXPECT_EQ(shown["ready"], false);
  EXPECT_EQ(shown["reason"], "draining");
  EXPECT_EQ(shown["version"], base::kVersion);
  EXPECT_EQ(shown["started"], "2001-09-09T01:46:40.000000Z");
  EXPECT_EQ(shown["uptime_s"], 2.5);
  EXPECT_EQ(shown["config"]["file"], "/etc/portunus/portunus.yaml");
  EXPECT_EQ(shown["config"]["hash"], "00ff");
  EXPECT_EQ(shown["config"]["generation"], 4);
  EXPECT_EQ(shown["config"]["generations_alive"], 2);
  EXPECT_EQ(shown["config"]["last_reload_ok"], false);
  EXPECT_EQ(shown["config"]["last_reload_error"], "line 3");
  EXPECT_EQ(shown["config"]["reloads_ok"], 3);
  EXPECT_EQ(shown["config"]["reloads_failed"], 1);
  EXPECT_EQ(shown["threads"], 2);
  EXPECT_EQ(shown["connections"], 17);
  EXPECT_EQ(shown["sites"], 5);
  EXPECT_EQ(shown["routes"], 6);
  EXPECT_EQ(shown["listeners"], json::parse(R"([{"name":"web","address":"0.0.0.0:80"}])"));
}

TEST(AdminViews, ShowsTheOutcomeOfAReload) {
  ReloadOutcome outcome;
  outcome.generation = 4;
  outcome.duration_s = 0.5;
  outcome.error = "1 error in portunus.yaml";
  outcome.text = "portunus.yaml:1:1: error: x\n";
  outcome.diagnostics = "[\n  {\"line\": 1}\n]\n";
  json shown = json::parse(reload_json(outcome));
  EXPECT_EQ(shown["ok"], false);
  EXPECT_EQ(shown["error"], outcome.error);
  EXPECT_EQ(shown["generation"], 4);
  EXPECT_EQ(shown["duration_s"], 0.5);
  EXPECT_EQ(shown["text"], outcome.text);
  EXPECT_EQ(shown["diagnostics"][0]["line"], 1);

  outcome = {};
  outcome.ok = true;
  outcome.file = "portunus.yaml";
  shown = json::parse(reload_json(outcome));
  EXPECT_EQ(shown["file"], "portunus.yaml");
  EXPECT_EQ(shown["ok"], true);
  EXPECT_FALSE(shown.contains("error"));
  EXPECT_EQ(shown["diagnostics"], json::array());
}

TEST(AdminViews, ShowsAnError) {
  EXPECT_EQ(json::parse(error_json(404, "no \"such\" thing")),
            json::parse(R"({"status":404,"error":"Not Found","message":"no \"such\" thing"})"));
}

TEST(AdminGuard, KnowsThisMachine) {
  for (const char* host :
       {"localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(is_loopback_host(host)) << host;
  }
  for (const char* host :
       {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0",
        "10.0.0.1", "::", "[::2]", "[127.0.0.1", "128.0.0.1", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(is_loopback_host(host)) << host;
  }
}

struct GuardRow {
  http::Method method;
  const char* host;
  std::vector<std::pair<std::string_view, std::string_view>> fields;
  bool is_refused;
};

TEST(AdminGuard, RefusesWebPages) {
  using http::Method;
  const GuardRow rows[] = {
      {Method::get, "127.0.0.1", {}, false},
      {Method::get, "configured.internal", {}, false},
      {Method::get, "evil.example", {}, true},
      {Method::get,
       "127.0.0.1",
       {{"origin", "http://evil.example"}},
       false},  // it cannot read the answer
      {Method::post, "127.0.0.1", {}, false},
      {Method::post, "evil.example", {}, true},
      {Method::post, "127.0.0.1", {{"origin", "http://127.0.0.1:9180"}}, true},
      {Method::post, "127.0.0.1", {{"origin", "null"}}, true},
      {Method::post, "127.0.0.1", {{"sec-fetch-site", "cross-site"}}, true},
      {Method::post, "127.0.0.1", {{"sec-fetch-site", "same-site"}}, true},
      {Method::post,
       "127.0.0.1",
       {{"sec-fetch-site", "none"}, {"sec-fetch-site", "cross-site"}},
       true},
      {Method::post, "127.0.0.1", {{"sec-fetch-site", "same-origin"}}, false},
      {Method::post, "127.0.0.1", {{"sec-fetch-site", "none"}}, false},
      {Method::other, "127.0.0.1", {{"origin", "http://evil.example"}}, true},
  };
  for (const GuardRow& row : rows) {
    http::Head head;
    head.method = row.method;
    head.authority = head.host = row.host;
    head.fields.add(http::HeaderId::host, row.host);
    for (const auto& [name, value] : row.fields)
      head.fields.add(name, value);
    EXPECT_EQ(!find_foreign_sign(head, "configured.internal").empty(), row.is_refused)
        << row.host << ' ' << (row.fields.empty() ? "" : row.fields.back().second);
  }
  http::Head old;  // HTTP/1.0 without a Host
  EXPECT_EQ(find_foreign_sign(old, ""), "");
  old.fields.add(http::HeaderId::host, "");
  EXPECT_NE(find_foreign_sign(old, ""), "");
}

}  // namespace
}  // namespace portunus::proxy
