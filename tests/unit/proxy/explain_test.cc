#include "proxy/explain.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "conf/load.h"

namespace portunus::proxy {
namespace {

constexpr const char* kFile = R"(
listeners:
  front: 127.0.0.1:8080
  other: 127.0.0.1:8081
limits: { uri_bytes: 1KiB }
pools:
  blue: { upstreams: [10.0.0.1:80, { address: 10.0.0.2:80, backup: true }], health: off }
  green: { upstreams: [10.0.1.1:80], health: off }
sites:
  shop.example:
    listeners: [front]
    routes:
      - match: { path: /api/*, method: POST }
        pool: blue
        strip_prefix: /api
        limits: { body_bytes: 100B }
      - match: { path: /inner/* }
        allow: [10.0.0.0/8]
        respond: { status: 204 }
      - match: { path: /old/* }
        redirect: "/new/{path.rest}"
      - match: { path: /mixed }
        split: { blue: 0, green: 4 }
      - match: { path: /drawn }
        split: { blue: 3, green: 1 }
        split_by: request
  "*": { listeners: [other], respond: { status: 418 } }
)";

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    conf::LoadResult loaded = conf::load_text(kFile, "portunus.yaml");
    EXPECT_TRUE(loaded.model != nullptr) << conf::format_text(loaded.diagnostics);
    RouteTable table = RouteTable::build(*loaded.model);
    generation_ = std::make_unique<Generation>(std::move(loaded.model), std::move(table), alive_);
    for (const conf::Pool& pool : generation_->model->pools) {
      auto list = std::make_shared<MemberList>();
      for (const conf::Upstream& each : pool.upstreams) {
        const std::string name = each.address.host + ":80";
        auto member = std::make_shared<health::Member>(pool.name, name, net::Address::parse(name));
        member->state = health::MemberState::up;
        list->entries.push_back({.member = member, .is_backup = each.backup});
      }
      lists_.push_back(std::move(list));
    }
  }

  Explanation ask(const std::string& url, ExplainQuestion question = {}) {
    question.url = url;
    auto answer = explain(*generation_, lists_, question);
    EXPECT_TRUE(answer.has_value()) << answer.error();
    return answer.value_or(Explanation{});
  }
  std::string error_of(ExplainQuestion question) {
    const auto answer = explain(*generation_, lists_, question);
    return answer ? "none" : answer.error();
  }
  health::Member& member(std::size_t pool, std::size_t index) {
    return *lists_[pool]->entries[index].member;
  }

  std::atomic<std::uint32_t> alive_{0};
  std::unique_ptr<Generation> generation_;
  std::vector<SharedMemberList> lists_;
};

TEST_F(ExplainTest, ARequestThatIsForwarded) {
  const Explanation said =
      ask("http://SHOP.example:8080/api/./x?y=1", {.url = {}, .method = "POST"});
  EXPECT_EQ(said.outcome, "forward");
  EXPECT_EQ(said.listener, "front");
  EXPECT_EQ(said.site, "shop.example");
  EXPECT_EQ(said.host, "shop.example");
  EXPECT_EQ(said.path, "/api/x");
  EXPECT_EQ(said.upstream_path, "/x");
  ASSERT_EQ(said.pools.size(), 1U);
  EXPECT_EQ(said.pools[0].next, "10.0.0.1:80");
  EXPECT_TRUE(said.pools[0].is_chosen);
  EXPECT_EQ(said.pools[0].share, 1);
}

TEST_F(ExplainTest, WhatTheMembersStatesChange) {
  member(0, 0).state = health::MemberState::down;
  EXPECT_EQ(ask("http://shop.example:8080/api/x", {.url = {}, .method = "POST"}).pools[0].next,
            "10.0.0.2:80");
  member(0, 1).state = health::MemberState::down;
  const Explanation said = ask("http://shop.example:8080/api/x", {.url = {}, .method = "POST"});
  EXPECT_EQ(said.pools[0].next, "");
  EXPECT_EQ(said.pools[0].why, "no member can be used: it waits for one");
  EXPECT_EQ(member(0, 0).in_flight, 0U);
}

TEST_F(ExplainTest, WhatNoRouteTakes) {
  const Explanation said = ask("http://shop.example:8080/api/x");
  EXPECT_EQ(said.outcome, "refuse");
  EXPECT_EQ(said.status, 404);
  EXPECT_EQ(said.reason, "no route matches");
  EXPECT_EQ(said.route, "");
}

TEST_F(ExplainTest, WhatTheParserRefuses) {
  const Explanation said = ask("http://shop.example:8080/" + std::string(2000, 'x'));
  EXPECT_EQ(said.outcome, "refuse");
  EXPECT_EQ(said.status, 414);
  EXPECT_EQ(ask("http://shop.example:8080/", {.url = {}, .fields = {"Content-Length: x"}}).status,
            400);
}

TEST_F(ExplainTest, WhoMayNotAsk) {
  EXPECT_EQ(ask("http://shop.example:8080/inner/").status, 403);
  const Explanation said =
      ask("http://shop.example:8080/inner/", {.url = {}, .client = "10.1.2.3"});
  EXPECT_EQ(said.outcome, "respond");
  EXPECT_EQ(said.status, 204);
}

TEST_F(ExplainTest, ABodyThatIsTooLarge) {
  const ExplainQuestion large{.url = {}, .method = "POST", .fields = {"Content-Length: 101"}};
  EXPECT_EQ(ask("http://shop.example:8080/api/x", large).status, 413);
}

TEST_F(ExplainTest, ARedirect) {
  const Explanation said = ask("http://shop.example:8080/old/a?b");
  EXPECT_EQ(said.outcome, "redirect");
  EXPECT_EQ(said.status, 308);
  EXPECT_EQ(said.location, "/new/a?b");
}

TEST_F(ExplainTest, ASplitTellsAllItsPools) {
  const Explanation said = ask("http://shop.example:8080/mixed");
  ASSERT_EQ(said.pools.size(), 2U);
  EXPECT_FALSE(said.pools[0].is_chosen);
  EXPECT_TRUE(said.pools[1].is_chosen);
  EXPECT_EQ(said.pools[1].share, 1);
  const Explanation drawn = ask("http://shop.example:8080/drawn");
  EXPECT_FALSE(drawn.pools[0].is_chosen || drawn.pools[1].is_chosen);
  EXPECT_EQ(drawn.pools[0].share, 0.75);
  EXPECT_EQ(drawn.notes.size(), 1U);
}

TEST_F(ExplainTest, TheListenerIsThatOfThePortOrTheOneNamed) {
  EXPECT_EQ(ask("http://shop.example:8081/").status, 418);
  EXPECT_EQ(ask("shop.example/", {.url = {}, .listener = "other"}).listener, "other");
  EXPECT_EQ(ask("http://shop.example/old/x").listener, "front");  // as behind a port mapping
}

TEST_F(ExplainTest, QuestionsThatMakeNoSense) {
  EXPECT_EQ(error_of({.url = "ftp://x/"}), "url: http:// or https://");
  EXPECT_EQ(error_of({.url = ""}), "url: scheme://host/path, without spaces");
  EXPECT_EQ(error_of({.url = "http://x/a b"}), "url: scheme://host/path, without spaces");
  EXPECT_EQ(error_of({.url = "https://x/"}), "no listener takes https connections");
  EXPECT_EQ(error_of({.url = "http://x:99/"}), "no listener takes http connections at port 99");
  EXPECT_EQ(error_of({.url = "x/", .listener = "none"}), "there is no listener `none`");
  EXPECT_EQ(error_of({.url = "x/", .client = "me"}), "client: an IP address");
  EXPECT_EQ(error_of({.url = "x/", .method = "A B"}), "method: a word such as GET");
  EXPECT_EQ(error_of({.url = "x/", .fields = {"none"}}), "headers: each as `Name: value`");
  EXPECT_EQ(error_of({.url = "x/", .fields = {"a: b\r\nc: d"}}), "headers: each as `Name: value`");
}

}  // namespace
}  // namespace portunus::proxy
