// Members from Consul in the configuration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "conf/load.h"

namespace portunus::conf {
namespace {

using testing::HasSubstr;

constexpr const char* kConsulSite = "sites: { '*': { pool: web } }\n";

LoadResult load_consul_agents(const std::string& consul) {
  return load_text(
      std::string(kConsulSite) + "pools: { web: { consul: web } }\nconsul: " + consul + "\n",
      "test.yaml");
}

LoadResult load_consul_pool(const std::string& value) {
  return load_text(std::string(kConsulSite) + "pools: { web: { consul: " + value + " } }\n",
                   "test.yaml");
}

ConsulService consul_service_of(const std::string& value) {
  const LoadResult result = load_consul_pool(value);
  EXPECT_NE(result.model, nullptr) << format_text(result.diagnostics);
  return result.model == nullptr ? ConsulService{}
                                 : result.model->pools[0].consul.value_or(ConsulService{});
}

std::string consul_error_of(const LoadResult& result) {
  EXPECT_EQ(result.model, nullptr);
  return format_text(result.diagnostics);
}

TEST(LoadConsul, EveryKeyOfAService) {
  ConsulService expected;
  expected.service = "web";
  expected.tags = {"blue", "new"};
  expected.node_meta = {{"rack", "7"}};
  expected.filter = "Service.Meta.version == \"2\"";
  expected.datacenter = "dc2";
  expected.name_space = "team";
  expected.partition = "west";
  expected.near = "_agent";
  expected.stale = Milliseconds(5'000);
  expected.warning = ConsulWarning::consul_weight;
  EXPECT_EQ(consul_service_of(
                "{ service: web, tags: [blue, new, blue], node_meta: { rack: '7' }, "
                "filter: 'Service.Meta.version == \"2\"', datacenter: dc2, namespace: team, "
                "partition: west, near: _agent, stale: 5s, warning: consul_weight }"),
            expected);
}

TEST(LoadConsul, TheServiceAlone) {
  ConsulService expected;
  expected.service = "web";
  EXPECT_EQ(consul_service_of("web"), expected);
  EXPECT_EQ(expected.warning, ConsulWarning::half_weight);
  expected.warning = ConsulWarning::unusable;
  EXPECT_EQ(consul_service_of("{ service: web, passing_only: true }"), expected);
}

TEST(LoadConsul, APoolNeedsNoUpstreamsBesideIt) {
  const LoadResult both = load_text(
      std::string(kConsulSite) + "pools: { web: { upstreams: ['127.0.0.1:1'], consul: web } }\n",
      "t");
  ASSERT_NE(both.model, nullptr) << format_text(both.diagnostics);
  EXPECT_EQ(both.model->pools[0].upstreams.size(), 1U);
  const LoadResult alone = load_consul_pool("web");
  ASSERT_NE(alone.model, nullptr) << format_text(alone.diagnostics);
  EXPECT_TRUE(alone.model->pools[0].is_dynamic);
}

TEST(LoadConsul, WhatAServiceCannotBe) {
  EXPECT_THAT(consul_error_of(load_consul_pool("{ tags: [a] }")), HasSubstr("service"));
  EXPECT_THAT(consul_error_of(load_consul_pool("{ service: web, warning: none }")),
              HasSubstr("half_weight"));
  EXPECT_THAT(consul_error_of(load_consul_pool("{ service: \"w\\teb\" }")), HasSubstr("printable"));
  EXPECT_THAT(consul_error_of(load_consul_pool("{ service: " + std::string(256, 'a') + " }")),
              HasSubstr("at most 255"));
  EXPECT_THAT(consul_error_of(load_consul_pool("{ service: web, tags: [\"a\\x01\"] }")),
              testing::Not(""));
  EXPECT_THAT(consul_error_of(load_consul_pool("{ service: web, node_meta: { 'a:b': c } }")),
              HasSubstr("no `:` in a name"));
  EXPECT_THAT(consul_error_of(load_consul_pool("{ service: web, stale: 2h }")), HasSubstr("stale"));
  EXPECT_THAT(consul_error_of(load_consul_pool("{ service: web, tag: a }")), HasSubstr("tags"));
}

TEST(LoadConsul, TheAgents) {
  EXPECT_EQ(load_consul_pool("web").model->consul, Consul{});
  const LoadResult one = load_consul_agents("'http://127.0.0.1:8501/'");
  ASSERT_NE(one.model, nullptr) << format_text(one.diagnostics);
  EXPECT_THAT(one.model->consul.agents, testing::ElementsAre(Address{"127.0.0.1", 8501}));
  const LoadResult two = load_consul_agents(
      "{ address: [localhost, 'http://[::1]:8500'], token: secret, datacenter: dc1 }");
  ASSERT_NE(two.model, nullptr) << format_text(two.diagnostics);
  EXPECT_THAT(two.model->consul.agents,
              testing::ElementsAre(Address{"127.0.0.1", 8500}, Address{"::1", 8500}));
  EXPECT_EQ(two.model->consul.token, "secret");
  EXPECT_EQ(two.model->consul.datacenter, "dc1");
}

TEST(LoadConsul, WhatAgentsCannotBe) {
  EXPECT_THAT(consul_error_of(load_consul_agents("consul.internal:8500")),
              HasSubstr("not an IP address"));
  EXPECT_THAT(consul_error_of(load_consul_agents("'https://127.0.0.1:8501'")),
              HasSubstr("later version"));
  EXPECT_THAT(consul_error_of(load_consul_agents("'unix:/run/consul.sock'")),
              HasSubstr("later version"));
  EXPECT_THAT(consul_error_of(load_consul_agents("['127.0.0.1:8500', '127.0.0.1']")),
              HasSubstr("twice"));
  EXPECT_THAT(consul_error_of(load_consul_agents("[]")), HasSubstr("from 1 to 16"));
  EXPECT_THAT(consul_error_of(load_consul_agents("{ addresses: '127.0.0.1' }")),
              HasSubstr("address"));
}

TEST(LoadConsul, NothingOfATokenIsShown) {
  const std::string text = consul_error_of(load_consul_agents("{ token: 'two words' }"));
  EXPECT_THAT(text, HasSubstr("`token`"));
  EXPECT_THAT(text, testing::Not(HasSubstr("two words")));
  EXPECT_THAT(consul_error_of(load_consul_agents("{ token: 'file:relative/path' }")),
              HasSubstr("absolute path"));
}

}  // namespace
}  // namespace portunus::conf
