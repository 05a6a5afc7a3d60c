#include "supervisor/replica_launch.h"

#include <algorithm>

#include "tests/unit/supervisor/service_fixture.h"

namespace portunus::test {
namespace {

using supervisor::launch_of;

class Launches : public testing::Test {
 protected:
  static bool has(const supervisor::Launch& launch, const std::string& variable) {
    return std::ranges::find(launch.environment, variable) != launch.environment.end();
  }
  static std::size_t count(const supervisor::Launch& launch, const std::string& name) {
    return static_cast<std::size_t>(std::ranges::count_if(
        launch.environment,
        [&](const std::string& variable) { return variable.starts_with(name + "="); }));
  }
};

TEST_F(Launches, PortAndReplicaAreFilledIn) {
  conf::Service service;
  service.name = "web";
  service.command = {"serve", "--at={port}{port}", "{replica}", "{other}{", "{{port}}"};
  service.environment = {{"WHO", "{replica} of {x}"}, {"{port}", "name"}};
  const auto launch = launch_of(service, 7, 9001);
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->command,
            (std::vector<std::string>{"serve", "--at=90019001", "7", "{other}{", "{9001}"}));
  EXPECT_TRUE(has(*launch, "WHO=7 of {x}"));
  EXPECT_TRUE(has(*launch, "{port}=name"));
  EXPECT_TRUE(has(*launch, "PORT=9001"));
  EXPECT_TRUE(has(*launch, "PORTUNUS_SERVICE=web"));
  EXPECT_TRUE(has(*launch, "PORTUNUS_REPLICA=7"));
}

TEST_F(Launches, NothingElseOfOurEnvironmentGoesAlong) {
  ::setenv("PORTUNUS_TEST_SECRET", "hidden", 1);  // NOLINT(concurrency-mt-unsafe): one thread
  conf::Service service;
  service.command = {"serve"};
  service.environment = {{"PATH", "/own"}, {"PORT", "1"}};
  const auto launch = launch_of(service, 0, 9001);
  ASSERT_TRUE(launch);
  EXPECT_EQ(count(*launch, "PORTUNUS_TEST_SECRET"), 0U);
  EXPECT_EQ(count(*launch, "PATH"), 1U);
  EXPECT_TRUE(has(*launch, "PATH=/own"));  // the configuration's word counts
  EXPECT_EQ(count(*launch, "PORT"), 1U);
  EXPECT_TRUE(has(*launch, "PORT=1"));
  EXPECT_EQ(count(*launch_of(service, 0, 0), "PORT"), 1U);
  ::unsetenv("PORTUNUS_TEST_SECRET");  // NOLINT(concurrency-mt-unsafe)
}

TEST_F(Launches, UserBringsNameAndHome) {
  conf::Service service;
  service.command = {"serve"};
  service.user = "root";
  const auto launch = launch_of(service, 0, 0);
  ASSERT_TRUE(launch);
  EXPECT_TRUE(has(*launch, "HOME=/root"));
  EXPECT_TRUE(has(*launch, "USER=root"));
  EXPECT_TRUE(has(*launch, "LOGNAME=root"));
  ASSERT_TRUE(launch->identity);
  service.user = "no_such_user_here";
  EXPECT_FALSE(launch_of(service, 0, 0));
}

TEST_F(Launches, PortIsFreeWhenNobodyListens) {
  const std::uint16_t port = free_ports(1).first;
  EXPECT_TRUE(supervisor::is_port_free(port));
  {
    const Squatter squatter(port);
    EXPECT_FALSE(supervisor::is_port_free(port));
  }
  {
    const Squatter squatter(port, INADDR_ANY);
    EXPECT_FALSE(supervisor::is_port_free(port));
  }
  EXPECT_TRUE(supervisor::is_port_free(port));
}

TEST_F(Launches, WhatNeedsANewProcess) {
  const conf::Service service;
  conf::Service other = service;
  other.restart.backoff_min = 7ms;
  other.replicas_max = 9;
  other.health.fall = 9;
  EXPECT_FALSE(supervisor::needs_new_process(service, other));
  other.command = {"other"};
  EXPECT_TRUE(supervisor::needs_new_process(service, other));
  const conf::Service mixed = supervisor::with_settings(service, other);
  EXPECT_FALSE(supervisor::needs_new_process(service, mixed));
  EXPECT_EQ(mixed.replicas_max, 9U);
}

}  // namespace
}  // namespace portunus::test
